//! Metrics as Prometheus has them: families of samples, and their text form.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::time::Duration;

use crate::cli::json::metrics::{Metric, MetricKind, Sample};
use crate::machine::sanitize;
use crate::record::counters::{self, BUCKETS, Histogram};

/// All metrics, in their order.
#[derive(Default)]
pub(super) struct Families(Vec<Family>);

struct Family {
    name: &'static str,
    kind: MetricKind,
    help: &'static str,
    samples: Vec<FamilySample>,
}

/// A value, and its labels in the form of Prometheus.
struct FamilySample {
    /// `_bucket`, `_sum` or `_count` of a histogram.
    suffix: &'static str,
    labels: String,
    value: String,
}

impl Families {
    /// Adds a metric; its samples follow.
    pub(super) fn add(
        &mut self,
        kind: MetricKind,
        name: &'static str,
        help: &'static str,
    ) -> Samples<'_> {
        self.0.push(Family { name, kind, help, samples: Vec::new() });
        Samples(self.0.last_mut())
    }

    /// Adds a metric without labels.
    pub(super) fn single(
        &mut self,
        kind: MetricKind,
        name: &'static str,
        help: &'static str,
        value: impl Display,
    ) {
        self.add(kind, name, help).push("", value);
    }

    /// Adds histograms, each with labels.
    pub(super) fn histograms(
        &mut self,
        name: &'static str,
        help: &'static str,
        series: &BTreeMap<String, Histogram>,
    ) {
        let mut samples = self.add(MetricKind::Histogram, name, help);
        for (labels, histogram) in series {
            let mut sum: u64 = 0;
            for (bound, count) in BUCKETS.iter().zip(&histogram.counts) {
                sum = sum.saturating_add(*count);
                samples.push_to("_bucket", &format!("{labels},le=\"{bound}\""), sum);
            }
            let all = histogram.counts.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
            samples.push_to("_bucket", &format!("{labels},le=\"+Inf\""), all);
            samples.push_to("_sum", labels, seconds(histogram.sum_us));
            samples.push_to("_count", labels, all);
        }
    }

    /// Returns the text form. What a terminal would take for more than text is escaped, in a way that a label's
    /// value can have: a backslash in it means itself.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for Family { name, kind, help, samples } in &self.0 {
            let kind = kind.name();
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for FamilySample { suffix, labels, value } in samples {
                let _ = match labels.is_empty() {
                    true => writeln!(text, "{name}{suffix} {value}"),
                    false => writeln!(text, "{name}{suffix}{{{labels}}} {value}"),
                };
            }
        }
        escape(&text)
    }

    pub(super) fn json(&self) -> Vec<Metric> {
        let metric = |family: &Family| Metric {
            name: family.name,
            kind: family.kind,
            help: family.help,
            samples: family.samples.iter().map(|sample| sample.json(family.name)).collect(),
        };
        self.0.iter().map(metric).collect()
    }
}

/// The samples of the metric that was added last.
pub(super) struct Samples<'a>(Option<&'a mut Family>);

impl Samples<'_> {
    pub(super) fn push(&mut self, labels: &str, value: impl Display) {
        self.push_to("", labels, value);
    }

    fn push_to(&mut self, suffix: &'static str, labels: &str, value: impl Display) {
        if let Some(family) = &mut self.0 {
            let (labels, value) = (labels.to_owned(), value.to_string());
            family.samples.push(FamilySample { suffix, labels, value });
        }
    }

    /// Adds a sample for each entry, whose keys are labels.
    pub(super) fn extend<T: Display>(&mut self, series: impl IntoIterator<Item = (String, T)>) {
        series.into_iter().for_each(|(labels, value)| self.push(&labels, value));
    }
}

impl FamilySample {
    fn json(&self, family: &str) -> Sample {
        Sample {
            name: format!("{family}{}", self.suffix),
            labels: counters::parse_labels(&self.labels),
            value: self.value.clone(),
        }
    }
}

/// Returns microseconds as seconds.
pub(super) fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

fn escape(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && sanitize::is_invisible(character) {
            let _ = write!(clean, "\\{}", character.escape_unicode());
        } else {
            clean.push(character);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_anything_stays_one_label() {
        let mut families = Families::default();
        let name = "a\"b\\c\nd\u{1b}[31m";
        let labels = counters::labels(&[("hook", name), ("x", "")]);
        families.add(MetricKind::Gauge, "one", "Help.").push(&labels, 1);
        let text = families.text();
        assert_eq!(
            text,
            "# HELP one Help.\n# TYPE one gauge\none{hook=\"a\\\"b\\\\c\\nd\\\\u{1b}[31m\",x=\"\"} 1\n"
        );
        let sample = &families.json()[0].samples[0];
        assert_eq!(sample.labels["hook"], name);
        assert_eq!(sample.labels["x"], "");
    }
}
