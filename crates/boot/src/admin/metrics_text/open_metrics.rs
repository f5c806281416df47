//! OpenMetrics, told from Prometheus' older format. The two differ in little: a counter's family is named without
//! `_total`, numbers in `le` have a fraction, there are no empty lines, and the end is marked, so that a cut page is noticed.

/// What OpenMetrics 1.0.0 asks to be sent with it.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const MEDIA_TYPE: &str = "application/openmetrics-text";

/// Whether an `Accept` header asks for OpenMetrics at least as much as for anything else that we have.
pub(super) fn is_preferred(accept: &str) -> bool {
    let weight_of = |wanted: &[&str]| {
        let ranges = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next()?;
            let weight =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok())?;
            wanted.iter().any(|one| one.eq_ignore_ascii_case(name)).then_some(weight)
        });
        ranges.fold(0.0_f32, f32::max)
    };
    // Who takes anything is a person with a browser or curl, who gets plain text.
    let (open, plain) = (weight_of(&[MEDIA_TYPE]), weight_of(&["text/plain", "text/*"]));
    open > 0.0 && open >= plain
}

/// The same page as OpenMetrics.
pub(super) fn of_prometheus(text: &str) -> String {
    let mut page = String::with_capacity(text.len() + 64);
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("# ") {
            Some(about) => describe(about, &mut page),
            None => sample(line, &mut page),
        }
        page.push('\n');
    }
    page.push_str("# EOF\n");
    page
}

/// `HELP name text` or `TYPE name type`.
fn describe(about: &str, page: &mut String) {
    page.push_str("# ");
    match about.split_once("_total ") {
        // Ours are well-named: what ends with `_total` is a counter, and the first word after HELP or TYPE is the name.
        Some((start, rest)) if start.split(' ').count() == 2 => {
            page.push_str(start);
            page.push(' ');
            page.push_str(rest);
        }
        _ => page.push_str(about),
    }
}

fn sample(line: &str, page: &mut String) {
    const LE: &str = "le=\"";
    let Some((before, rest)) = line.split_once(LE) else { return page.push_str(line) };
    let (bound, after) = rest.split_once('"').unwrap_or((rest, ""));
    page.push_str(before);
    page.push_str(LE);
    page.push_str(bound);
    if bound.bytes().all(|byte| byte.is_ascii_digit()) {
        page.push_str(".0");
    }
    page.push('"');
    page.push_str(after);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_given_to_those_who_ask_for_it() {
        // What Prometheus 2 and 3 send.
        assert!(is_preferred(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        ));
        assert!(is_preferred(MEDIA_TYPE));
        for accept in ["", "*/*", "text/plain", "text/html, */*;q=0.8", "application/openmetrics-text;q=0"] {
            assert!(!is_preferred(accept), "{accept}");
        }
        assert!(!is_preferred("text/plain, application/openmetrics-text;q=0.5"));
    }

    #[test]
    fn only_names_of_families_bounds_and_the_end_differ() {
        let text = "# HELP a_total how often in_total it happened\n# TYPE a_total counter\na_total{x=\"1\"} 3\n\n\
                    # TYPE b_seconds histogram\nb_seconds_bucket{le=\"0.5\"} 1\nb_seconds_bucket{le=\"1\"} 1\n\
                    b_seconds_bucket{le=\"+Inf\"} 1\nb_seconds_sum 0.1\nb_seconds_count 1\n\n";
        let page = "# HELP a how often in_total it happened\n# TYPE a counter\na_total{x=\"1\"} 3\n\
                    # TYPE b_seconds histogram\nb_seconds_bucket{le=\"0.5\"} 1\nb_seconds_bucket{le=\"1.0\"} 1\n\
                    b_seconds_bucket{le=\"+Inf\"} 1\nb_seconds_sum 0.1\nb_seconds_count 1\n# EOF\n";
        assert_eq!(of_prometheus(text), page);
    }
}
