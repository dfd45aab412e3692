# Completion of sigsend for PowerShell. Written by sigsend --generate powershell.
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'sigsend' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $options = @(
@OPTIONS@    )
    $signals = '@SIGNALS@'.Split(' ')
    $words = @($commandAst.CommandElements | ForEach-Object { $_.ToString() })
    if ($wordToComplete) { $words = @($words | Select-Object -SkipLast 1) }
    $isDash = $wordToComplete.StartsWith('-')
    $takesValue = $true
    $values = switch -CaseSensitive ($words[-1]) {
        { $_ -cin @SIGNAL@ } { $signals; break }
        { $_ -cin @PID@ } { (Get-Process).Id; break }
        { $_ -cin @NAME@ } { (Get-Process).ProcessName; break }
        { $_ -cin @FILE@, @DIR@, @NUMBER@ } { return }
        { $_ -cin @WHAT@ } { '@PRODUCTS@'.Split(' '); break }
        default {
            $takesValue = $false
            if ($words.Count -gt 2 -and $words[-2] -ceq '--timeout') { $signals }
            elseif ($isDash -and $wordToComplete -ne '-') { $signals | ForEach-Object { "-$_" } }
            elseif (-not $isDash) { (Get-Process).Id; (Get-Process).ProcessName }
        }
    }
    if ($isDash -and -not $takesValue) {
        $options | Where-Object { $_[0] -clike "$wordToComplete*" } |
            ForEach-Object { [CompletionResult]::new($_[0], $_[0], [CompletionResultType]::ParameterName, $_[1]) }
    }
    $values | Sort-Object -Unique | Where-Object { "$_" -clike "$wordToComplete*" } |
        ForEach-Object {
            # A process name is text of another user; unquoted, $(...) in it would be run.
            $text = if ("$_" -match '^[\w.+-]+$') { "$_" } else { "'$([CodeGeneration]::EscapeSingleQuotedStringContent("$_"))'" }
            [CompletionResult]::new($text, "$_", [CompletionResultType]::ParameterValue, "$_")
        }
}
