//! What may happen to a token on its way: mutations that know its grammar, so that many stay near
//! what is accepted, and some that know nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A token taken apart.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    /// Scheme, host and path.
    head: String,
    /// Raw, as they stand in the query.
    pairs: Vec<String>,
    /// After the pairs.
    tail: String,
    /// What is done to the base64 text.
    envelope: Envelope,
}

/// A spelling of base64.
#[derive(Clone, Copy, Debug)]
pub(super) enum Envelope {
    Plain,
    Padded,
    OtherAlphabet,
    TrailingBits(u8),
    NewlineAt(Index),
    SpaceAfter,
    Cut(u8),
}

/// One mutation. An `Index` picks a place in whatever is there.
#[derive(Clone, Debug)]
pub(super) enum Mutation {
    Move { from: Index, to: Index },
    Repeat { pair: Index, at: Index },
    Drop(Index),
    OtherCase { pair: Index, at: Index },
    Escape { pair: Index, at: Index, upper: bool },
    Unescape { pair: Index, at: Index },
    LowerEscapes(Index),
    EscapeTwice(Index),
    ExchangeValues(Index, Index),
    Value { pair: Index, value: &'static str },
    Insert { pair: Index, at: Index, text: &'static str },
    Remove { pair: Index, at: Index },
    Digit { pair: Index, at: Index, digit: char },
    Head { from: &'static str, to: &'static str },
    Tail(&'static str),
    Byte { at: Index, byte: u8 },
    Envelope(Envelope),
}

impl Parts {
    pub(super) fn of(token: &str) -> Self {
        let body = token.strip_prefix("k8s-aws-v1.").unwrap();
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap();
        let (head, query) = url.split_once('?').unwrap();
        Self {
            head: head.to_owned(),
            pairs: query.split('&').map(str::to_owned).collect(),
            tail: String::new(),
            envelope: Envelope::Plain,
        }
    }

    pub(super) fn token(&self) -> String {
        let url = format!("{}?{}{}", self.head, self.pairs.join("&"), self.tail);
        let mut body = URL_SAFE_NO_PAD.encode(&url);
        match self.envelope {
            Envelope::Plain => {}
            Envelope::Padded => body.push_str(["", "", "==", "="][body.len() % 4]),
            Envelope::OtherAlphabet => body = body.replace('-', "+").replace('_', "/"),
            Envelope::TrailingBits(bits) => {
                let free = [0, 0, 15, 3][body.len() % 4];
                let alphabet = base64::alphabet::URL_SAFE.as_str();
                let last = body.pop().map_or(0, |last| alphabet.find(last).unwrap());
                body.push_str(&alphabet[last | usize::from(bits & free)..][..1]);
            }
            Envelope::NewlineAt(at) => body.insert(at.index(body.len()), '\n'),
            Envelope::SpaceAfter => body.push(' '),
            Envelope::Cut(letters) => body.truncate(body.len() - usize::from(letters)),
        }
        format!("k8s-aws-v1.{body}")
    }

    pub(super) fn apply(&mut self, mutation: &Mutation) {
        if self.pairs.is_empty() {
            return;
        }
        match *mutation {
            Mutation::Move { from, to } => {
                let pair = self.pairs.remove(from.index(self.pairs.len()));
                self.pairs.insert(to.index(self.pairs.len() + 1), pair);
            }
            Mutation::Repeat { pair, at } => {
                let pair = self.pair(pair).clone();
                self.pairs.insert(at.index(self.pairs.len() + 1), pair);
            }
            Mutation::Drop(pair) => drop(self.pairs.remove(pair.index(self.pairs.len()))),
            Mutation::OtherCase { pair, at } => self.change(pair, at, |c| {
                if c.is_uppercase() {
                    c.to_lowercase().to_string()
                } else {
                    c.to_uppercase().to_string()
                }
            }),
            Mutation::Escape { pair, at, upper } => self.change(pair, at, |c| {
                let mut bytes = [0; 4];
                let escape =
                    |byte: &u8| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
                c.encode_utf8(&mut bytes).as_bytes().iter().map(escape).collect()
            }),
            Mutation::Unescape { pair, at } => {
                let pair = self.pair(pair);
                let escapes: Vec<usize> = pair.match_indices('%').map(|(at, _)| at).collect();
                if escapes.is_empty() {
                    return;
                }
                let at = escapes[at.index(escapes.len())];
                let byte =
                    pair.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
                if let Some(byte) = byte {
                    pair.replace_range(at..at + 3, &char::from(byte).to_string());
                }
            }
            Mutation::LowerEscapes(pair) => {
                let pair = self.pair(pair);
                for from in ["%2F", "%2B", "%3D", "%3B"] {
                    *pair = pair.replace(from, &from.to_lowercase());
                }
            }
            Mutation::EscapeTwice(pair) => {
                let pair = self.pair(pair);
                *pair = pair.replace('%', "%25");
            }
            Mutation::ExchangeValues(one, other) => {
                let split = |pair: &str| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (name.to_owned(), value.to_owned())
                };
                let (one, other) = (one.index(self.pairs.len()), other.index(self.pairs.len()));
                let ((a, x), (b, y)) = (split(&self.pairs[one]), split(&self.pairs[other]));
                self.pairs[one] = format!("{a}={y}");
                self.pairs[other] = format!("{b}={x}");
            }
            Mutation::Value { pair, value } => {
                let pair = self.pair(pair);
                let name = pair.split('=').next().unwrap_or_default().to_owned();
                *pair = format!("{name}={value}");
            }
            Mutation::Insert { pair, at, text } => self.change(pair, at, |c| format!("{text}{c}")),
            Mutation::Remove { pair, at } => self.change(pair, at, |_| String::new()),
            Mutation::Digit { pair, at, digit } => self.change(pair, at, |c| {
                if c.is_ascii_hexdigit() { digit.to_string() } else { c.to_string() }
            }),
            Mutation::Head { from, to } => self.head = self.head.replacen(from, to, 1),
            Mutation::Tail(text) => self.tail.push_str(text),
            Mutation::Byte { at, byte } => {
                let mut bytes = std::mem::take(&mut self.head).into_bytes();
                let at = at.index(bytes.len() + 1);
                bytes.insert(at, byte);
                self.head = String::from_utf8_lossy(&bytes).into_owned();
            }
            Mutation::Envelope(envelope) => self.envelope = envelope,
        }
    }

    fn pair(&mut self, pair: Index) -> &mut String {
        let at = pair.index(self.pairs.len());
        &mut self.pairs[at]
    }

    /// Puts what `to` makes of one character in its place.
    fn change(&mut self, pair: Index, at: Index, to: impl FnOnce(char) -> String) {
        let pair = self.pair(pair);
        if pair.is_empty() {
            return;
        }
        let (at, c) = pair.char_indices().nth(at.index(pair.chars().count())).unwrap();
        pair.replace_range(at..at + c.len_utf8(), &to(c));
    }

    /// With another value for the parameter `name`, if it is there.
    fn with(&self, name: &str, change: impl Fn(&str) -> String) -> Option<Self> {
        let mut changed = self.clone();
        let pair = changed.pairs.iter_mut().find(|pair| pair.starts_with(&format!("{name}=")))?;
        let value = change(&pair[name.len() + 1..]);
        *pair = format!("{name}={value}");
        Some(changed)
    }
}

/// Tokens that differ from `good` and are spelt as well as it: no signature of theirs is right, but
/// that is for STS to say.
pub(super) fn neutral(good: &Parts) -> Vec<(String, Parts)> {
    let mut all = vec![("as it is".to_owned(), good.clone())];
    for turn in 1..good.pairs.len() {
        let mut turned = good.clone();
        turned.pairs.rotate_left(turn);
        all.push((format!("turned by {turn}"), turned));
    }
    let mut reversed = good.clone();
    reversed.pairs.reverse();
    all.push(("reversed".to_owned(), reversed));
    for expires in ["0", "1", "9", "10", "59", "899", "900"] {
        let changed = good.with("X-Amz-Expires", |_| expires.to_owned());
        all.extend(changed.map(|parts| (format!("expires {expires}"), parts)));
    }
    let flipped = good.with("X-Amz-Signature", |hex| hex.chars().rev().collect());
    all.extend(flipped.map(|parts| ("another signature".to_owned(), parts)));
    let key = good.with("X-Amz-Credential", |scope| {
        format!("ASIA{}%2F{}", "Z9".repeat(8), scope.split_once("%2F").unwrap().1)
    });
    all.extend(key.map(|parts| ("another key".to_owned(), parts)));
    for more in ["a", "~._-9", "%2F%2B%3D", "%25", "%7B%7B"] {
        let longer = good.with("X-Amz-Security-Token", |value| format!("{value}{more}"));
        all.extend(longer.map(|parts| (format!("session token and {more}"), parts)));
    }
    all
}

pub(super) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    prop::collection::vec(mutation(), 0..4)
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    let two = || (any::<Index>(), any::<Index>());
    prop_oneof![
        6 => two().prop_map(|(from, to)| Mutation::Move { from, to }),
        2 => two().prop_map(|(pair, at)| Mutation::Repeat { pair, at }),
        1 => at().prop_map(Mutation::Drop),
        1 => two().prop_map(|(pair, at)| Mutation::OtherCase { pair, at }),
        2 => (two(), any::<bool>())
            .prop_map(|((pair, at), upper)| Mutation::Escape { pair, at, upper }),
        2 => two().prop_map(|(pair, at)| Mutation::Unescape { pair, at }),
        1 => at().prop_map(Mutation::LowerEscapes),
        1 => at().prop_map(Mutation::EscapeTwice),
        1 => two().prop_map(|(one, other)| Mutation::ExchangeValues(one, other)),
        2 => (at(), select(VALUES)).prop_map(|(pair, value)| Mutation::Value { pair, value }),
        2 => (two(), select(TEXTS)).prop_map(|((pair, at), text)| Mutation::Insert { pair, at, text }),
        1 => two().prop_map(|(pair, at)| Mutation::Remove { pair, at }),
        4 => (two(), select(DIGITS)).prop_map(|((pair, at), digit)| Mutation::Digit { pair, at, digit }),
        2 => select(HEADS).prop_map(|(from, to)| Mutation::Head { from, to }),
        1 => select(TEXTS).prop_map(Mutation::Tail),
        1 => (at(), 1..0x80_u8).prop_map(|(at, byte)| Mutation::Byte { at, byte }),
        2 => envelope().prop_map(Mutation::Envelope),
    ]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    prop_oneof![
        Just(Envelope::Padded),
        Just(Envelope::OtherAlphabet),
        (1..16_u8).prop_map(Envelope::TrailingBits),
        any::<Index>().prop_map(Envelope::NewlineAt),
        Just(Envelope::SpaceAfter),
        (1..4_u8).prop_map(Envelope::Cut),
    ]
}

const VALUES: &[&str] = &[
    "",
    "1",
    "60",
    "060",
    "900",
    "GetCallerIdentity",
    "AssumeRole",
    "2011-06-15",
    "host%3Bx-k8s-aws-id",
    "host;x-k8s-aws-id",
    "AWS4-HMAC-SHA256",
    "20261122T152233Z",
    "FwoG%2F%2Babc%3D",
];
const TEXTS: &[&str] = &[
    "&",
    "=",
    ";",
    "?",
    "#",
    "/",
    "\\",
    "+",
    "%",
    "%20",
    "%00",
    "%0A",
    "%26",
    "%3D",
    "%25",
    "%2f",
    "%2F",
    "\t",
    "\r",
    "\n",
    "\0",
    " ",
    "\u{e9}",
    "\u{3002}",
    "&Action=AssumeRole",
    "&x-amz-credential=eve",
    "&&",
    "&=x",
    "&Foo=bar",
    "@evil.test",
    "a",
];
const DIGITS: &[char] = &['0', '1', '7', '9', 'a', 'f', 'A'];
const HEADS: &[(&str, &str)] = &[
    ("https", "http"),
    ("https", "HTTPS"),
    ("https://", "https:/"),
    ("https://", "https:\\\\"),
    ("https://", "https://u@"),
    ("https://", "https://evil.test@"),
    ("sts.", "sts-fips."),
    ("sts-fips.", "sts."),
    ("sts.", "STS."),
    ("sts.", "ｓts."),
    ("sts.", "sts%2E"),
    ("sts.", ""),
    (".amazonaws.com", ".api.aws"),
    (".api.aws", ".amazonaws.com"),
    (".com", ".com."),
    (".com", ".com:443"),
    (".com", ".com.cn"),
    (".com", ".COM"),
    (".com", ".com\\"),
    ("us-west-2", "us-east-1"),
    ("us-west-2", "US-WEST-2"),
    ("us-west-2", "us-gov-west-1"),
    ("us-west-2.", ""),
    ("/", "//"),
    (".com/", ".com"),
    (".com/", ".com//"),
    (".com/", ".com/."),
    (".com/", ".com/%2e"),
    (".com/", ".com/x/.."),
];
