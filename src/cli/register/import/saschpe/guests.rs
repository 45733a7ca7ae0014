//! Turns the guests of a hooks.json into the words of the ready-made hook `port-forward`.

use std::net::Ipv4Addr;

use serde_json::{Map, Value};

/// The keys of a guest that are known.
const KNOWN: [&str; 6] =
    ["private_ip", "public_ip", "source_ip", "interface", "port_map", "port_range"];
/// What ends the effect of a source address.
const ANYWHERE: &str = "from=0.0.0.0/0";

/// One guest's forwards.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forwards {
    pub guest: String,
    /// As the property `port_forward` has them.
    pub words: Vec<String>,
}

/// What a file has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub guests: Vec<Forwards>,
    /// What was changed or left out of a guest, with its name.
    pub notes_of_guests: Vec<(String, String)>,
    /// What holds for all guests.
    pub notes: Vec<&'static str>,
    /// Why guests can't be imported, with their names.
    pub problems: Vec<(String, String)>,
}

/// Reads the content of a file.
///
/// # Errors
/// It isn't an object.
pub(super) fn read(content: &Value) -> Result<Found, String> {
    let Value::Object(all) = content else {
        return Err("it has to be an object: guests by their names".to_owned());
    };
    let mut found = Found::default();
    let mut is_anywhere = false;
    for (guest, value) in all {
        let parts = match value {
            Value::Array(parts) => parts.iter().collect(),
            part => vec![part],
        };
        let mut words = Vec::new();
        let mut reader = GuestReader { words: &mut words, notes: Vec::new() };
        let outcome = parts.into_iter().try_for_each(|part| reader.part(part));
        let notes = reader.notes;
        let outcome = outcome.and_then(|()| match guest.starts_with('!') {
            true => Err("a name that begins with ! can't be a condition".to_owned()),
            false => Ok(()),
        });
        if let Err(why) = outcome {
            found.problems.push((guest.clone(), why));
            continue;
        }
        found.notes_of_guests.extend(notes.into_iter().map(|note| (guest.clone(), note)));
        if !words.iter().any(|word| is_forward(word)) {
            let note = "it has no port, and is left out".to_owned();
            found.notes_of_guests.push((guest.clone(), note));
            continue;
        }
        // without an address of the host's
        is_anywhere |= words.iter().any(|word| is_forward(word) && !word.contains('.'));
        found.guests.push(Forwards { guest: guest.clone(), words });
    }
    if is_anywhere {
        found.notes.push(
            "without public_ip a port is forwarded at all addresses of the host, not only at the first one of the default route",
        );
    }
    if !found.guests.is_empty() {
        found.notes.push(
            "take saschpe's script out of libvirt's hooks, or both do it; what it has set up for a running guest stays until that guest is stopped with it, or until the chains DNAT-…, SNAT-… and FWD-… are removed",
        );
    }
    Ok(found)
}

fn is_forward(word: &str) -> bool {
    !word.contains('=')
}

struct GuestReader<'a> {
    words: &'a mut Vec<String>,
    notes: Vec<String>,
}

impl GuestReader<'_> {
    /// Reads one object of a guest.
    fn part(&mut self, value: &Value) -> Result<(), String> {
        let Value::Object(part) = value else {
            return Err("it has to be an object, or a list of objects".to_owned());
        };
        let private = address(part, "private_ip")?.ok_or("it has no private_ip")?;
        let public = address(part, "public_ip")?;
        let source = address(part, "source_ip")?;
        for key in part.keys().filter(|key| !KNOWN.contains(&key.as_str())) {
            self.notes.push(format!("`{key}` isn't known, and is left out"));
        }
        if part.contains_key("interface") {
            self.notes.push(
                "`interface` is left out: the guest's address says where connections go".to_owned(),
            );
        }
        self.words.push(format!("to={private}"));
        let before = public.map(|public| format!("{public}:")).unwrap_or_default();
        // a source of the object before
        if self.words.iter().any(|word| word.starts_with("from=")) {
            self.words.push(ANYWHERE.to_owned());
        }
        let ranges = list(part, "port_range")?;
        for range in &ranges {
            self.range(range, &before)?;
        }
        if !ranges.is_empty() && source.is_some() {
            self.notes
                .push("source_ip doesn't hold for port_range, as in saschpe's hook".to_owned());
        }
        if let Some(source) = source {
            self.words.push(format!("from={source}"));
        }
        let Some(map) = part.get("port_map") else { return Ok(()) };
        let Value::Object(map) = map else {
            return Err("port_map has to be an object: lists of ports by protocol".to_owned());
        };
        for (protocol, ports) in map {
            let Value::Array(ports) = ports else {
                return Err(format!("port_map.{protocol} has to be a list of ports"));
            };
            let Some(end) = self.protocol(protocol)? else { continue };
            for one in ports {
                let word = match one {
                    Value::Array(pair) => match pair.as_slice() {
                        [public, private] if public == private => port(public)?.to_string(),
                        [public, private] => format!("{}:{}", port(public)?, port(private)?),
                        _ => return Err(format!("{one} has to be a port, or [public, private]")),
                    },
                    one => port(one)?.to_string(),
                };
                self.words.push(format!("{before}{word}{end}"));
            }
        }
        Ok(())
    }

    /// Reads an object of `port_range`.
    fn range(&mut self, value: &Value, before: &str) -> Result<(), String> {
        let key = |key: &str| {
            value.get(key).ok_or_else(|| format!("an object of port_range has no {key}"))
        };
        let first = port(key("init_port")?)?;
        let count = key("ports_num")?.as_u64().filter(|count| (1..=65_535).contains(count));
        let count = count.ok_or("ports_num has to be a number from 1")?;
        let last = u64::from(first) + count - 1;
        if last > 65_535 {
            return Err(format!("port_range: the last port would be {last}"));
        }
        let protocol = key("protocol")?.as_str().ok_or("protocol has to be a word")?;
        let Some(end) = self.protocol(protocol)? else { return Ok(()) };
        let ports = if count == 1 { first.to_string() } else { format!("{first}-{last}") };
        self.words.push(format!("{before}{ports}{end}"));
        Ok(())
    }

    /// Returns how a protocol is written after a port; `None` if it has no ports.
    fn protocol(&mut self, protocol: &str) -> Result<Option<&'static str>, String> {
        match protocol {
            "tcp" => Ok(Some("")),
            "udp" => Ok(Some("/udp")),
            "icmp" => {
                self.notes.push("icmp has no ports, and is left out".to_owned());
                Ok(None)
            }
            other => Err(format!("the protocol is tcp or udp, not {other}")),
        }
    }
}

fn address(part: &Map<String, Value>, key: &str) -> Result<Option<Ipv4Addr>, String> {
    let Some(value) = part.get(key) else { return Ok(None) };
    let address = value.as_str().and_then(|text| text.parse().ok());
    address.map(Some).ok_or_else(|| format!("{key} has to be an IPv4 address, and is {value}"))
}

fn port(value: &Value) -> Result<u16, String> {
    let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("a port is a number from 1 to 65535, not {value}"))
}

fn list<'a>(part: &'a Map<String, Value>, key: &str) -> Result<Vec<&'a Value>, String> {
    match part.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => Ok(list.iter().collect()),
        Some(_) => Err(format!("{key} has to be a list")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::relaxed_json;
    use super::*;

    fn found(text: &str) -> Found {
        read(&relaxed_json::parse(text).unwrap()).unwrap()
    }

    fn words(text: &str) -> String {
        let found = found(&format!("{{\"g\": {text}}}"));
        assert!(found.problems.is_empty(), "{text}: {found:?}");
        found.guests.into_iter().next().map(|it| it.words.join(" ")).unwrap_or_default()
    }

    #[test]
    fn each_form_of_a_forward_has_its_words() {
        for (text, wanted) in [
            (
                r#"{"private_ip": "10.0.0.1", "port_map": {"tcp": [[1100, 3000], 443, [80, 80]]}}"#,
                "to=10.0.0.1 1100:3000 443 80",
            ),
            (
                r#"{"private_ip": "10.0.0.1", "public_ip": "192.0.2.1", "port_map": {"udp": [[53, 5353]]}}"#,
                "to=10.0.0.1 192.0.2.1:53:5353/udp",
            ),
            (
                r#"{"private_ip": "10.0.0.1", "source_ip": "8.8.8.8", "port_map": {"tcp": [1], "icmp": [2]},
                    "port_range": [{"init_port": 1000, "ports_num": 11, "protocol": "tcp"},
                                   {"init_port": 7, "ports_num": 1, "protocol": "udp"}]}"#,
                "to=10.0.0.1 1000-1010 7/udp from=8.8.8.8 1",
            ),
            (
                r#"[{"private_ip": "10.0.0.1", "source_ip": "8.8.8.8", "port_map": {"tcp": [1]}},
                    {"private_ip": "10.0.0.2", "port_map": {"tcp": [2]}}]"#,
                "to=10.0.0.1 from=8.8.8.8 1 to=10.0.0.2 from=0.0.0.0/0 2",
            ),
            (r#"{"private_ip": "10.0.0.1"}"#, ""),
        ] {
            assert_eq!(words(text), wanted, "{text}");
        }
    }

    #[test]
    fn comments_and_last_commas_are_taken() {
        let text = "{ // one, \"\n \"a//b\": /* two, } */ {\"private_ip\": \"10.0.0.1\", /*/ three */\n\"port_map\": {\"tcp\": [1, 2,],},}, /**/\n}\n";
        let found = found(text);
        let one = Forwards {
            guest: "a//b".to_owned(),
            words: ["to=10.0.0.1", "1", "2"].map(str::to_owned).to_vec(),
        };
        assert_eq!(found.guests, [one]);
        let why = relaxed_json::parse("{\n/* a */ b}").unwrap_err();
        assert!(why.ends_with("at line 2 column 9"), "{why}");
        for text in ["[1,,]", "{\"a\" 1}", "", "{\"a\": \"", "/*", "\"\\"] {
            assert!(relaxed_json::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, why) in [
            (r#"{"g": 1}"#, "it has to be an object, or a list of objects"),
            (r#"{"g": {}}"#, "it has no private_ip"),
            (r#"{"g": {"private_ip": "x"}}"#, "private_ip has to be an IPv4 address, and is \"x\""),
            (
                r#"{"g": {"private_ip": "10.0.0.1", "port_map": {"tcp": [0]}}}"#,
                "a port is a number from 1 to 65535, not 0",
            ),
            (
                r#"{"g": {"private_ip": "10.0.0.1", "port_map": {"sctp": [1]}}}"#,
                "the protocol is tcp or udp, not sctp",
            ),
            (
                r#"{"g": {"private_ip": "10.0.0.1", "port_map": {"tcp": [[1, 2, 3]]}}}"#,
                "[1,2,3] has to be a port, or [public, private]",
            ),
            (
                r#"{"g": {"private_ip": "10.0.0.1", "port_range": [{"init_port": 65535, "ports_num": 2, "protocol": "tcp"}]}}"#,
                "port_range: the last port would be 65536",
            ),
            (
                r#"{"!g": {"private_ip": "10.0.0.1", "port_map": {"tcp": [1]}}}"#,
                "a name that begins with ! can't be a condition",
            ),
        ] {
            let found = found(text);
            let said: Vec<&str> = found.problems.iter().map(|(_, why)| why.as_str()).collect();
            assert_eq!(said, [why], "{text}");
            assert_eq!(found.guests, []);
        }
        assert!(read(&Value::Null).is_err());
    }
}
