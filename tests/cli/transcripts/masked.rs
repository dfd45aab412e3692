//! Output is compared without what differs between runs: inodes and times.

/// A line without the parts that differ between runs, and the seconds in it.
fn masked(line: &str) -> (String, Vec<f64>) {
    let mut seconds = Vec::new();
    let is_time = |word: &str| {
        let end = word.trim_end_matches([',', ':']);
        word.len() > 20 && word.starts_with("20") && word.contains('T') && end.ends_with('Z')
    };
    let words = line.split(' ').map(|word| match word {
        word if is_time(word) => "TIME".into(),
        word => numbers_masked(word, &mut seconds),
    });
    let text = words.collect::<Vec<_>>().join(" ");
    (
        text.replace("age 0s", "age T").replace("age 1s", "age T"),
        seconds,
    )
}

/// A word without inodes and times.
fn numbers_masked(word: &str, seconds: &mut Vec<f64>) -> String {
    let (mut text, mut rest) = (String::new(), word);
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let is_end = |c: char| !c.is_ascii_digit() && c != '.';
        let length = rest[start..].find(is_end);
        let end = length.map_or(rest.len(), |length| start + length);
        let number = &rest[start..end];
        text.push_str(&rest[..start]);
        let is_token = text.ends_with(':') && text[..text.len() - 1].ends_with(char::is_numeric);
        let mut keys = ["\"inode\":", "\"elapsed_ms\":", "\"age_ms\":"].iter();
        let parts = number.split_once('.');
        let is_time = parts.is_some_and(|(_, after)| after.len() == 2);
        text.push_str(match number.parse() {
            Ok(time) if is_time => {
                seconds.push(time);
                "S"
            }
            _ if is_token || keys.any(|key| text.ends_with(key)) => "N",
            _ => number,
        });
        rest = &rest[end..];
    }
    text + rest
}

/// Compares line by line. Processes that end at the same time may be in another order, and one may
/// have ended before CONT is sent to it.
#[track_caller]
pub fn assert_same(place: &str, expected: &[String], actual: &str) {
    let mut want: Vec<_> = expected.iter().map(|line| masked(line)).collect();
    let mut have: Vec<_> = actual.lines().map(masked).collect();
    want.retain(|line| have.contains(line) || !line.0.starts_with("sent CONT "));
    want.sort_by(|a, b| a.0.cmp(&b.0));
    have.sort_by(|a, b| a.0.cmp(&b.0));
    let (wanted, had): (Vec<_>, Vec<_>) = want.into_iter().unzip();
    let (text, seconds): (Vec<_>, Vec<_>) = have.into_iter().unzip();
    assert_eq!(wanted, text, "{place}\nprints\n{actual}");
    for (want, have) in had.concat().iter().zip(seconds.concat()) {
        let is_near = (want - 0.02..want + 5.0).contains(&have);
        assert!(is_near, "{place}: {have} s instead of {want} s");
    }
}
