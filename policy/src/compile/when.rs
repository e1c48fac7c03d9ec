//! One item of `when`: a condition on a header.

use super::lists::{At, Fault, Report, among};
use super::never::Never;
use super::to::is_token;
use crate::pattern::Pattern;
use crate::rule::Header;
use crate::spec::{Action, WhenSpec};

/// The headers that the filter sets; what a client sends under such a name is removed.
const OWN_HEADERS: &str = "x-crossmesh-";

pub(super) fn compile(spec: &WhenSpec, action: Action, at: &At<'_>, report: &mut Report) -> Header {
    let WhenSpec {
        header,
        values,
        not_values,
    } = spec;
    let name = header.to_ascii_lowercase();
    if let Err(fault) = check_name(&name) {
        report.value(&at.then("header"), header, &fault.problem, &fault.mend);
    }
    if values.is_none() && not_values.is_none() {
        let mend = "write values or notValues; values: [\"*\"] holds when the header is there";
        report.problem(at, "nothing is asked of the header", mend);
    }
    let before = report.len();
    let values = among(at, "values", (values, not_values), report, value);
    if report.len() == before {
        Never { at, action, report }.when(spec);
    }
    Header {
        name: name.into(),
        values,
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    if matches!(name, "host" | ":authority") {
        Err(Fault::new(
            "the host is no further header",
            "name it under to, in hosts",
        ))
    } else if name == ":path" {
        Err(Fault::new(
            "the path is no further header",
            "name it under to, in paths",
        ))
    } else if name == ":method" {
        Err(Fault::new(
            "the method is no further header",
            "name it under to, in methods",
        ))
    } else if name.is_empty() || !name.chars().all(is_token) {
        Err(Fault::new(
            "it is not the name of a header",
            "write a name such as x-tier",
        ))
    } else if name.starts_with(OWN_HEADERS) {
        Err(Fault::new(
            "such headers are crossmesh's own, and what a client sends under them is removed",
            "match the source by meshes",
        ))
    } else {
        Ok(())
    }
}

fn value(text: &str) -> Result<Pattern, Fault> {
    if text.contains(',') {
        let mend = "write one entry for each value";
        return Err(Fault::new(
            "header lines are split at commas, it would never match",
            mend,
        ));
    }
    let blank = [' ', '\t'];
    if text.starts_with(blank) || text.ends_with(blank) {
        return Err(Fault::new(
            "values lose the blanks at their ends, it would never match",
            "leave the blanks out",
        ));
    }
    Pattern::parse(text).map_err(|why| Fault::new(why, why.mend()))
}
