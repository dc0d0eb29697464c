//! A table for a terminal: columns as wide as their widest cell, figures to the right.

use std::fmt::Write as _;

pub struct Table {
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    pub fn new(titles: &[&str]) -> Self {
        Self { rows: vec![titles.iter().map(|title| (*title).to_owned()).collect()], notes: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// A contestant without figures; the reason stands below the table.
    pub fn failed(&mut self, mut cells: Vec<String>, error: &anyhow::Error) {
        self.notes.push(format!("{}: {error:#}", cells.join(", ")));
        cells.push("failed".to_owned());
        self.rows.push(cells);
    }

    /// One line a row; the first column is text.
    pub fn render(&self) -> String {
        let columns = self.rows[0].len();
        let width =
            |column: usize| self.rows.iter().filter_map(move |row| row.get(column)).map(|cell| cell.chars().count());
        let widths: Vec<usize> = (0..columns).map(|column| width(column).max().unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                let width = widths.get(column).copied().unwrap_or(0);
                match column {
                    0 => write!(text, "{cell:<width$}"),
                    _ => write!(text, "  {cell:>width$}"),
                }
                .expect("a String takes everything");
            }
            text.push('\n');
        }
        for note in &self.notes {
            writeln!(text, "{note}").expect("a String takes everything");
        }
        text
    }
}

/// The middle one; of an even number the lower of the two. Nothing of nothing.
pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().checked_sub(1)? / 2).copied()
}
