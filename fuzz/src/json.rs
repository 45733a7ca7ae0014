//! Random changes to JSON that leave it JSON.

use serde_json::{Map, Value, json};

use crate::random::Random;

/// Changes one to four values, keys or lists. `words` are strings and keys to choose from.
pub fn mutate(random: &mut Random, value: &mut Value, words: &[&str]) {
    for _ in 0..1 + random.below(4) {
        let node = descend(random, value);
        change(random, node, words);
    }
}

/// A random value within a value.
fn descend<'a>(random: &mut Random, value: &'a mut Value) -> &'a mut Value {
    let count = match value {
        Value::Array(list) => list.len(),
        Value::Object(object) => object.len(),
        _ => 0,
    };
    if count == 0 || random.once_in(6) {
        return value;
    }
    let index = random.below(count);
    let inner = match value {
        Value::Array(list) => list.get_mut(index),
        Value::Object(object) => object.values_mut().nth(index),
        _ => None,
    };
    match inner {
        Some(inner) => descend(random, inner),
        // not reached: the index is below the count
        None => unreachable!("a value without the item that was counted"),
    }
}

fn change(random: &mut Random, value: &mut Value, words: &[&str]) {
    match value {
        Value::Object(object) if !random.once_in(4) => change_object(random, object, words),
        Value::Array(list) if !random.once_in(4) => match random.below(4) {
            0 => list.push(scalar(random, words)),
            1 => drop(list.pop()),
            2 if !list.is_empty() => {
                let copy = random.item(list).clone();
                let times = 1 + random.below(40);
                list.extend(std::iter::repeat_n(copy, times));
            }
            _ => list.clear(),
        },
        Value::Number(number) if random.once_in(2) => {
            let near = number.as_u64().unwrap_or_default();
            *value = match random.below(3) {
                0 => json!(near.wrapping_add(1)),
                1 => json!(near.wrapping_sub(1)),
                _ => json!(near ^ (1 << random.below(64))),
            };
        }
        Value::String(text) if random.once_in(2) => {
            let mut bytes = std::mem::take(text).into_bytes();
            crate::bytes::mutate(random, &mut bytes, words, &[]);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        other => *other = scalar(random, words),
    }
}

fn change_object(random: &mut Random, object: &mut Map<String, Value>, words: &[&str]) {
    let keys: Vec<String> = object.keys().cloned().collect();
    if keys.is_empty() || random.once_in(5) {
        object.insert(random.pick(words).to_owned(), scalar(random, words));
        return;
    }
    let (key, other) = (random.item(&keys), random.item(&keys));
    match random.below(3) {
        0 => drop(object.remove(key)),
        1 => {
            let copy = object.get(other).cloned().unwrap_or(Value::Null);
            object.insert(key.clone(), copy);
        }
        _ => drop(object.insert(key.clone(), scalar(random, words))),
    }
}

/// A random value, often one at a limit.
pub fn scalar(random: &mut Random, words: &[&str]) -> Value {
    match random.below(20) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(false),
        3 => json!(0),
        4 => json!(1),
        5 => json!(-1),
        6 => json!(i64::MIN),
        7 => json!(i64::MAX),
        8 => json!(u64::MAX),
        9 => json!(u64::MAX - random.next() % 4096),
        10 => json!(u32::MAX),
        11 => json!(i32::MIN),
        12 => json!(1e308),
        13 => json!(""),
        14 => json!([]),
        15 => json!({}),
        16 => json!("\u{0}\u{1b}\u{202e}\n../../x"),
        17 => json!(random.next()),
        _ => json!(random.pick(words)),
    }
}

/// Seeds as JSON values; what is none is left out.
pub fn values(seeds: &[Vec<u8>]) -> Vec<Value> {
    seeds.iter().filter_map(|seed| serde_json::from_slice(seed).ok()).collect()
}
