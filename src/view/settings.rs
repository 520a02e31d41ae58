//! The configuration in force as a table.

use super::plain_table;
use crate::config::{Place, Setting};

/// What `witch check-config` shows of a configuration without errors.
pub(crate) fn render(settings: &[Setting]) -> String {
    let mut table = plain_table(&["KEY", "VALUE", "FROM"]);
    for Setting { key, value, place } in settings {
        let from = match place {
            Place::Line(line) => format!("line {line}"),
            Place::Variable(name) => name.clone(),
            Place::Nowhere => "default".into(),
        };
        table.add_row([key, value, &from]);
    }
    format!("{}\n", table.trim_fmt())
}
