//! From OpenMetrics text, which the metrics library writes, to the classic text format.
//!
//! Every scraper reads the classic one. The two differ in three places: a counter's `# HELP` and
//! `# TYPE` name its samples, `_total` included; whole bounds are `le="1"`, which dashboards that
//! name a bucket expect; and there is no `# EOF`.

use std::collections::HashSet;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

pub(super) fn encode(registry: &Registry) -> String {
    let mut open = String::new();
    // Writing to a string does not fail.
    if text::encode_registry(&mut open, registry).is_err() {
        return String::new();
    }
    from_open(&open)
}

fn from_open(open: &str) -> String {
    let counters: HashSet<_> = open
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut classic = String::with_capacity(open.len());
    for line in open.lines() {
        match described(line).filter(|(_, name, _)| counters.contains(name)) {
            Some((keyword, name, rest)) => {
                classic.push_str(keyword);
                classic.push_str(name);
                classic.push_str("_total ");
                classic.push_str(rest);
            }
            None => push_sample(&mut classic, line),
        }
        classic.push('\n');
    }
    classic
}

/// The keyword, name and rest of a comment about a metric.
fn described(line: &str) -> Option<(&'static str, &str, &str)> {
    ["# HELP ", "# TYPE "].into_iter().find_map(|keyword| {
        let (name, rest) = line.strip_prefix(keyword)?.split_once(' ')?;
        Some((keyword, name, rest))
    })
}

fn push_sample(classic: &mut String, line: &str) {
    let bound = line.split_once("_bucket{le=\"").and_then(|(_, rest)| rest.split_once('"'));
    match bound.and_then(|(bound, _)| bound.strip_suffix(".0")) {
        Some(whole) => {
            classic.push_str(&line.replacen(
                &format!("{{le=\"{whole}.0\""),
                &format!("{{le=\"{whole}\""),
                1,
            ));
        }
        None => classic.push_str(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_bounds_and_the_rest() {
        let open = "# HELP a_sum Sum.\n# TYPE a_sum counter\na_sum_total{x=\"y\"} 1\n\
                    # HELP b B.\n# TYPE b gauge\nb 2\n\
                    # HELP c C.\n# TYPE c histogram\nc_sum 0.0\nc_bucket{le=\"10.0\",r=\"z\"} 1\n\
                    c_bucket{le=\"0.05\",r=\"1.0\"} 1\nc_bucket{le=\"+Inf\"} 1\n";
        let classic = "# HELP a_sum_total Sum.\n# TYPE a_sum_total counter\na_sum_total{x=\"y\"} 1\n\
                       # HELP b B.\n# TYPE b gauge\nb 2\n\
                       # HELP c C.\n# TYPE c histogram\nc_sum 0.0\nc_bucket{le=\"10\",r=\"z\"} 1\n\
                       c_bucket{le=\"0.05\",r=\"1.0\"} 1\nc_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(from_open(open), classic);
    }
}
