//! JSON for a person's eye that stays what it is: a parser would sort keys and round numbers.

/// Valid JSON, indented by two spaces. Strings, numbers, key order and repeated keys stay as they are.
pub(crate) fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut rest = json.trim_start().chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '"' => {
                out.push('"');
                copy_string(&mut rest, &mut out);
            }
            '{' | '[' => {
                out.push(character);
                while rest.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(close) = rest.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                new_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ if character.is_ascii_whitespace() => {}
            _ => out.push(character),
        }
    }
    out
}

/// The rest of a string whose opening quote has gone by.
fn copy_string(rest: &mut impl Iterator<Item = char>, out: &mut String) {
    while let Some(character) = rest.next() {
        out.push(character);
        match character {
            '"' => return,
            '\\' => out.extend(rest.next()),
            _ => {}
        }
    }
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::indented;

    #[test]
    fn nothing_but_space_changes() {
        let json = r#"{"b":[1e400,{"x":"a, \"b\" {"}],"a":{ },"a":[],"n":1.00}"#;
        let expected = "{\n  \"b\": [\n    1e400,\n    {\n      \"x\": \"a, \\\"b\\\" {\"\n    }\n  ],\n  \"a\": {},\n  \"a\": [],\n  \"n\": 1.00\n}";
        assert_eq!(indented(json), expected);
        assert_eq!(indented(&indented(json)), expected);
    }
}
