//! Columns of text, aligned.

/// Rows of equal length, as lines: each column as wide as its widest cell, two spaces between, nothing trailing.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let line: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_nothing_trails() {
        let rows = [["a", "long", ""], ["bcd", "e", "f"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "a    long\nbcd  e     f\n");
    }
}
