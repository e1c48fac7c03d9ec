//! Text in columns, for people.

use std::fmt;

/// Rows under a header, each column as wide as its widest field.
pub(super) fn columns<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    header: [&str; N],
    rows: Vec<[String; N]>,
) -> fmt::Result {
    let mut all = vec![header.map(str::to_owned)];
    all.extend(rows);
    let mut widths = [0_usize; N];
    for row in &all {
        for (width, field) in widths.iter_mut().zip(row) {
            *width = (*width).max(field.chars().count());
        }
    }
    for row in &all {
        let line: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(field, width)| format!("{field:width$}"))
            .collect();
        writeln!(f, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

/// A time as coarse as it matters; the JSON has it in milliseconds.
pub(super) fn age(milliseconds: u64) -> String {
    match milliseconds / 60_000 {
        0 => "<1 min".to_owned(),
        minutes @ 1..=119 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    }
}

/// What comes from elsewhere must not move the cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Several items in one field.
pub(super) fn listed<T: ToString>(items: &[T]) -> String {
    if items.is_empty() {
        return "-".to_owned();
    }
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(",")
}
