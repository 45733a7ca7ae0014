//! Counters and gauges for monitoring.

use std::collections::BTreeMap;

use super::shape::{object, words};

words! {
    /// What Prometheus does with a metric.
    pub enum MetricKind {
        /// It only grows
        Counter = "counter",
        /// It goes up and down
        Gauge = "gauge",
        /// Numbers of durations up to each bound, with their sum
        Histogram = "histogram",
    }
}

object! {
    /// A value of a metric.
    pub struct Sample {
        /// The name of the metric; of a histogram with `_bucket`, `_sum` or `_count`
        name: String,
        /// The labels
        labels: BTreeMap<String, String>,
        /// The value, as in the text form
        value: String,
    }

    /// A metric.
    pub struct Metric {
        /// Its name
        name: &'static str,
        /// What kind it is
        kind: MetricKind,
        /// What it means
        help: &'static str,
        /// Its values
        samples: Vec<Sample>,
    }

    /// All metrics.
    pub struct Metrics {
        /// All metrics; docs/metrics.md explains each
        metrics: Vec<Metric>,
    }
}
