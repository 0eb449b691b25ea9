//! The JSON Schema of the report: the published file itself.

/// The JSON Schema (2020-12) of the report of `provision` and `unprovision`, as text.
pub const fn schema() -> &'static str {
    include_str!("../../../docs/schema/provision-report.json")
}
