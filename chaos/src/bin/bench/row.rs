//! One line of the table: some samples, and what is wanted of them.

use comfy_table::{Table, presets};
use serde_json::{Value, json};

/// What was measured.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    /// The median should not be above this.
    pub(crate) target: Option<f64>,
    pub(crate) samples: Vec<f64>,
    /// What else is to be said.
    pub(crate) remark: String,
}

impl Row {
    /// The middle sample; of an even number, the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    fn lowest(&self) -> f64 {
        self.samples.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn highest(&self) -> f64 {
        self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    fn verdict(&self) -> &'static str {
        match self.target {
            None => "",
            Some(target) if self.median() <= target => "yes",
            Some(_) => "NO",
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "target": self.target, "median": self.median(), "min": self.lowest(),
            "max": self.highest(), "samples": self.samples, "remark": self.remark,
        })
    }
}

/// The whole table.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["what", "median", "spread", "wanted", "reached", "remark"]);
    for row in rows {
        let number = |value: f64| format!("{value:.*} {}", usize::from(value.abs() < 10.0) * 2, row.unit);
        let wanted = row.target.map_or_else(String::new, |target| format!("<= {}", number(target)));
        let spread = format!("{} .. {}", number(row.lowest()), number(row.highest()));
        table.add_row([row.name.clone(), number(row.median()), spread, wanted, row.verdict().to_owned(), row.remark.clone()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(samples: &[f64]) -> Row {
        Row { name: "outage".into(), unit: "ms", target: Some(500.0), samples: samples.to_vec(), remark: String::new() }
    }

    #[test]
    fn the_median_does_not_depend_on_the_order() {
        assert!((row(&[900.0, 100.0, 300.0]).median() - 300.0).abs() < f64::EPSILON);
        assert!((row(&[400.0, 100.0, 300.0, 200.0]).median() - 250.0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_table_says_whether_the_target_is_reached() {
        let shown = table(&[row(&[400.0, 450.0, 700.0]), row(&[600.0])]).to_string();
        assert!(shown.contains("400 ms .. 700 ms") && shown.contains("yes") && shown.contains("NO"), "{shown}");
    }
}
