    # What the options of the command do not tell: values and targets.
    $signals = '@SIGNALS@'.Split(' ')
    $words = @($commandElements | ForEach-Object { $_.ToString() })
    if ($wordToComplete) { $words = @($words | Select-Object -SkipLast 1) }
    $values = switch -CaseSensitive ($words[-1]) {
        { $_ -cin '-s', '-n', '--signal', '-l', '--list' } { $signals; break }
        { $_ -cin '-d', '--show-process-state' } { (Get-Process).Id; break }
        '--expect' { (Get-Process).ProcessName; break }
        '--pidfile' { return }
        { $_ -cin '-q', '--queue', '--within', '--timeout', '--grace' } { return }
        '--generate' { 'man', 'bash', 'zsh', 'fish', 'elvish', 'powershell'; break }
        default {
            if ($words.Count -gt 2 -and $words[-2] -ceq '--timeout') { $signals }
            elseif ($wordToComplete.StartsWith('-')) { $signals | ForEach-Object { "-$_" } }
            else { (Get-Process).Id; (Get-Process).ProcessName }
        }
    }
    $values | Sort-Object -Unique | Where-Object { "$_" -clike "$wordToComplete*" } |
        ForEach-Object {
            # A process name is other people's text; unquoted, $(...) in it would be run.
            $text = if ("$_" -match '^[\w.+-]+$') { "$_" } else { "'$([CodeGeneration]::EscapeSingleQuotedStringContent("$_"))'" }
            [CompletionResult]::new($text, "$_", [CompletionResultType]::ParameterValue, "$_")
        }
    if (-not $wordToComplete.StartsWith('-')) { return }

