//! The scanner behind [`super::inspect`]: recursive descent, bounded by the depth limit.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{DEPTH_MAX, EXPONENT_MAX, JUDGED_BYTES_MAX, NotJudged, PayloadError, PayloadFacts};

/// Up to this many keys are compared one by one, which costs no allocation for a hash table.
const KEYS_COMPARED_ONE_BY_ONE: usize = 16;

pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    not_judged: Option<NotJudged>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let not_judged = (text.len() > JUDGED_BYTES_MAX).then_some(NotJudged::TooLarge);
        Self { text, bytes: text.as_bytes(), at: 0, depth: 0, not_judged }
    }

    /// The whole body: one object, white space around it, nothing else.
    pub(super) fn document(mut self) -> Result<PayloadFacts, PayloadError> {
        self.skip_space();
        match self.peek()? {
            b'{' => {}
            _ => return Err(PayloadError::NotAnObject),
        }
        let mut named_type = None;
        let mut named_event = None;
        self.object(|key, value| match (key, value) {
            ("type", Some(text)) => named_type = Some(text),
            ("event", Some(text)) => named_event = Some(text),
            _ => {}
        })?;
        self.skip_space();
        if self.at < self.bytes.len() {
            return Err(PayloadError::Trailing(self.at));
        }
        Ok(PayloadFacts { declared_type: named_type.or(named_event), not_judged: self.not_judged })
    }

    fn value(&mut self) -> Result<(), PayloadError> {
        match self.peek()? {
            b'{' => self.object(|_, _| {}),
            b'[' => self.array(),
            b'"' => self.string().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(PayloadError::Unexpected(self.at)),
        }
    }

    /// Calls `member` with each key, and with its value where that is a string.
    fn object(&mut self, mut member: impl FnMut(&str, Option<String>)) -> Result<(), PayloadError> {
        self.descend()?;
        let mut keys = Keys::default();
        self.skip_space();
        if self.take_if(b'}')? {
            return self.ascend();
        }
        loop {
            self.skip_space();
            let key_at = self.at;
            let key = self.string()?;
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            if self.peek()? == b'"' {
                let value = self.string()?;
                member(&key, Some(value.into_owned()));
            } else {
                self.value()?;
                member(&key, None);
            }
            if !keys.insert(key) {
                return Err(PayloadError::DuplicateKey(key_at));
            }
            self.skip_space();
            if self.take_if(b'}')? {
                return self.ascend();
            }
            self.expect(b',')?;
        }
    }

    fn array(&mut self) -> Result<(), PayloadError> {
        self.descend()?;
        self.skip_space();
        if self.take_if(b']')? {
            return self.ascend();
        }
        loop {
            self.skip_space();
            self.value()?;
            self.skip_space();
            if self.take_if(b']')? {
                return self.ascend();
            }
            self.expect(b',')?;
        }
    }

    /// A string, unescaped; borrowed where nothing was escaped.
    fn string(&mut self) -> Result<Cow<'a, str>, PayloadError> {
        self.expect(b'"')?;
        let start = self.at;
        self.skip_plain();
        if self.peek()? == b'"' {
            let plain = &self.text[start..self.at];
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut unescaped = self.text[start..self.at].to_owned();
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(Cow::Owned(unescaped));
                }
                b'\\' => unescaped.push(self.escape()?),
                _ => return Err(PayloadError::Unexpected(self.at)),
            }
            let plain_from = self.at;
            self.skip_plain();
            unescaped.push_str(&self.text[plain_from..self.at]);
        }
    }

    /// Moves to the next quote, backslash or control character.
    fn skip_plain(&mut self) {
        let special = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().position(special).unwrap_or(rest.len());
    }

    fn escape(&mut self) -> Result<char, PayloadError> {
        let start = self.at;
        self.at += 1;
        let plain = match self.peek()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.escaped_character(start),
            _ => return Err(PayloadError::Unexpected(self.at)),
        };
        self.at += 1;
        Ok(plain)
    }

    /// `\uXXXX`, or two of them that make a surrogate pair. `start` is the backslash; `at` stands on the `u`.
    fn escaped_character(&mut self, start: usize) -> Result<char, PayloadError> {
        self.at += 1;
        let first = self.four_digits()?;
        if let Some(character) = char::from_u32(first) {
            if character == '\0' {
                self.not_judged.get_or_insert(NotJudged::NulCharacter);
            }
            return Ok(character);
        }
        if first < 0xdc00 && self.bytes[self.at..].starts_with(b"\\u") {
            self.at += 2;
            let second = self.four_digits()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(code).ok_or(PayloadError::LoneSurrogate(start));
            }
        }
        Err(PayloadError::LoneSurrogate(start))
    }

    fn four_digits(&mut self) -> Result<u32, PayloadError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.peek()?).to_digit(16).ok_or(PayloadError::Unexpected(self.at))?;
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<(), PayloadError> {
        self.skip_if(b'-');
        if !self.skip_if(b'0') {
            self.digits()?;
        }
        if self.skip_if(b'.') {
            self.digits()?;
        }
        if self.skip_if(b'e') || self.skip_if(b'E') {
            if !self.skip_if(b'+') {
                self.skip_if(b'-');
            }
            let from = self.at;
            self.digits()?;
            // Digits too many for a number are an exponent too large.
            if self.text[from..self.at].parse::<u32>().map_or(true, |exponent| exponent > EXPONENT_MAX) {
                self.not_judged.get_or_insert(NotJudged::HugeExponent);
            }
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), PayloadError> {
        if !self.peek()?.is_ascii_digit() {
            return Err(PayloadError::Unexpected(self.at));
        }
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), PayloadError> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(PayloadError::Unexpected(self.at));
        }
        self.at += word.len();
        Ok(())
    }

    fn descend(&mut self) -> Result<(), PayloadError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(PayloadError::TooDeep(self.at));
        }
        self.at += 1;
        Ok(())
    }

    fn ascend(&mut self) -> Result<(), PayloadError> {
        self.depth -= 1;
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, PayloadError> {
        self.bytes.get(self.at).copied().ok_or(PayloadError::EndsEarly(self.at))
    }

    fn take_if(&mut self, byte: u8) -> Result<bool, PayloadError> {
        self.peek()?;
        Ok(self.skip_if(byte))
    }

    fn skip_if(&mut self, byte: u8) -> bool {
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), PayloadError> {
        if self.take_if(byte)? { Ok(()) } else { Err(PayloadError::Unexpected(self.at)) }
    }
}

/// The keys of one object seen so far.
#[derive(Default)]
struct Keys<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    /// Whether the key is new.
    fn insert(&mut self, key: Cow<'a, str>) -> bool {
        if !self.many.is_empty() {
            return self.many.insert(key);
        }
        if self.few.contains(&key) {
            return false;
        }
        self.few.push(key);
        if self.few.len() > KEYS_COMPARED_ONE_BY_ONE {
            // The standard hasher is keyed at random, so that chosen keys cannot collide on purpose.
            self.many = self.few.drain(..).collect();
        }
        true
    }
}
