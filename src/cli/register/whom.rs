//! For whom a registered hook runs, in short: its conditions.

use crate::config::registration::When;
use crate::config::values::Patterns;

/// Returns the conditions on one line, as `name=web*,!web-test driver=qemu`; `None` where it runs for everybody.
pub(crate) fn whom(when: &When) -> Option<String> {
    let When { driver, name, uuid, title, reason, origin, network, property } = when;
    let plain = [
        ("driver", driver),
        ("name", name),
        ("uuid", uuid),
        ("title", title),
        ("reason", reason),
        ("origin", origin),
        ("network", network),
    ];
    let plain =
        plain.into_iter().filter_map(|(key, patterns)| Some(condition(key, patterns.as_ref()?)));
    let properties = property.iter().flatten();
    let properties =
        properties.map(|(name, patterns)| condition(&format!("property.{name}"), patterns));
    let all: Vec<String> = plain.chain(properties).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

fn condition(key: &str, patterns: &Patterns) -> String {
    let patterns = patterns.to_string().replace(", ", ",");
    match patterns.contains(char::is_whitespace) {
        true => format!("{key}='{patterns}'"),
        false => format!("{key}={patterns}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    #[test]
    fn conditions_are_one_line() {
        for (text, expected) in [
            ("{}", None),
            ("{name: [web*, '!web-test']}", Some("name=web*,!web-test")),
            (
                "{property: {gpu: 1, b: x}, driver: qemu}",
                Some("driver=qemu property.b=x property.gpu=1"),
            ),
            ("{title: 'Web server', origin: fresh}", Some("title='Web server' origin=fresh")),
        ] {
            assert_eq!(whom(&yaml::read(text).unwrap()).as_deref(), expected, "{text}");
        }
    }
}
