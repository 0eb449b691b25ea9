//! The text of a token: prefix, base64, and the one spelling of its URL that is accepted.
//!
//! Does not judge age, and asks nobody. What parses here rebuilds to the same pairs, byte for byte.

use std::{array, mem};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::{HostFault, HostPolicy, StsHost};
use crate::clock::UnixTime;
use crate::secret::Secret;

/// What every token begins with.
pub const PREFIX: &str = "k8s-aws-v1.";

/// Why text is not a token. Says which rule, never the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Malformed {
    #[error("the token lacks the prefix \"k8s-aws-v1.\"")]
    Prefix,
    #[error("the token has {0} bytes, more than {max}", max = MAX_LEN)]
    Size(usize),
    #[error("the token is not unpadded base64url")]
    Base64,
    #[error("the URL holds a byte that is not printable ASCII")]
    Character,
    #[error("the URL does not begin with https://")]
    Scheme,
    #[error("the URL's path is not /")]
    Path,
    #[error("the URL has a fragment")]
    Fragment,
    #[error("{0}")]
    Host(#[from] HostFault),
    #[error("the query has a pair without a name or a value")]
    Pair,
    #[error("the query has a parameter that does not belong there")]
    UnknownParameter,
    #[error("the query has {0} twice")]
    Duplicate(&'static str),
    #[error("the query lacks {0}")]
    Missing(&'static str),
    #[error("the value of {0} is not spelt as SigV4 spells it")]
    Spelling(&'static str),
    #[error("the action is not GetCallerIdentity")]
    Action,
    #[error("the version is not 2011-06-15")]
    Version,
    #[error("the algorithm is not AWS4-HMAC-SHA256")]
    Algorithm,
    #[error("the signed headers are not host;x-k8s-aws-id")]
    SignedHeaders,
    #[error("X-Amz-Expires is not 0 to 900")]
    Expires,
    #[error("X-Amz-Date is not a time like 20060102T150405Z")]
    Date,
    #[error("the signature is not 64 lower-case hex digits")]
    Signature,
    #[error("the credential is not KEY/DATE/REGION/sts/aws4_request")]
    Scope,
    #[error("the access key id is not one of AWS's")]
    AccessKeyId,
    #[error("the credential's date is not the day of X-Amz-Date")]
    ScopeDate,
    #[error("the credential's region is not the STS host's")]
    ScopeRegion,
}

/// The typed fields of a token's URL. Values that SigV4 percent-encodes are kept encoded.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) host: StsHost,
    pub(super) access_key_id: Box<str>,
    pub(super) region: Box<str>,
    pub(super) date: Box<str>,
    pub(super) signed_at: UnixTime,
    pub(super) expires: u16,
    pub(super) session_token: Option<Secret>,
    pub(super) signature: Secret,
}

/// Takes the token apart as far as its URL.
pub(super) fn unwrap(token: &str) -> Result<Secret, Malformed> {
    let body = token.strip_prefix(PREFIX).ok_or(Malformed::Prefix)?;
    if token.len() > MAX_LEN {
        return Err(Malformed::Size(token.len()));
    }
    // The engine refuses padding, white space and non-zero trailing bits: one spelling per URL.
    let mut bytes = Zeroizing::new(vec![0; body.len() * 3 / 4]);
    URL_SAFE_NO_PAD.decode_slice(body, &mut bytes).map_err(|_| Malformed::Base64)?;
    if !each(&bytes, |b| b.is_ascii_graphic()) {
        return Err(Malformed::Character);
    }
    // The same memory: a copy would have to be wiped, too. Such bytes are text, so none are lost here.
    let text = String::from_utf8(mem::take(&mut *bytes)).map_err(|_| Malformed::Character)?;
    Ok(Secret::new(text))
}

/// Wraps a URL as a token.
pub(super) fn wrap(url: &str) -> Secret {
    let mut token = String::with_capacity(PREFIX.len() + url.len().div_ceil(3) * 4);
    token.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(url, &mut token);
    Secret::new(token)
}

/// Reads the URL under one-spelling rules.
pub(super) fn read(url: &str, hosts: &HostPolicy) -> Result<Fields, Malformed> {
    let rest = url.strip_prefix("https://").ok_or(Malformed::Scheme)?;
    if rest.contains('#') {
        return Err(Malformed::Fragment);
    }
    let authority = rest.find(['/', '?', '\\']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(authority);
    let host = hosts.judge(host)?;
    let query = target.strip_prefix("/?").ok_or(Malformed::Path)?;
    let pairs = Pairs::read(query)?;

    literal(pairs.required(ACTION)?, "GetCallerIdentity", Malformed::Action)?;
    literal(pairs.required(VERSION)?, "2011-06-15", Malformed::Version)?;
    literal(pairs.required(ALGORITHM)?, "AWS4-HMAC-SHA256", Malformed::Algorithm)?;
    literal(pairs.required(SIGNED_HEADERS)?, ENCODED_SIGNED_HEADERS, Malformed::SignedHeaders)?;
    let expires = expires(pairs.required(EXPIRES)?)?;
    let date = pairs.required(DATE)?;
    let signed_at = amz_date(date).ok_or(Malformed::Date)?;
    let (access_key_id, region) = credential(pairs.required(CREDENTIAL)?, date)?;
    if host.region().is_some_and(|of_host| of_host != region) {
        return Err(Malformed::ScopeRegion);
    }
    let session_token = match pairs.optional(SECURITY_TOKEN)? {
        Some(value) if canonical_encoding(value) => Some(Secret::new(value)),
        Some(_) => return Err(Malformed::Spelling(SECURITY_TOKEN)),
        None => None,
    };
    let signature = pairs.required(SIGNATURE)?;
    let hex = |b| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if signature.len() != 64 || !each(signature.as_bytes(), hex) {
        return Err(Malformed::Signature);
    }
    Ok(Fields {
        host,
        access_key_id: access_key_id.into(),
        region: region.into(),
        date: date.into(),
        signed_at,
        expires,
        session_token,
        signature: Secret::new(signature),
    })
}

/// Builds the request target from the fields: parameters sorted as SigV4 sorts them, the
/// signature last, as every signer writes it.
pub(super) fn target(fields: &Fields) -> Secret {
    let Fields { access_key_id, region, date, expires, session_token, signature, .. } = fields;
    let scope = date.get(..8).unwrap_or_default();
    let (token_name, token) = match session_token {
        Some(token) => ("&X-Amz-Security-Token=", token.expose()),
        None => ("", ""),
    };
    let parts = [
        "/?Action=GetCallerIdentity&Version=2011-06-15",
        "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=",
        access_key_id,
        "%2F",
        scope,
        "%2F",
        region,
        "%2Fsts%2Faws4_request&X-Amz-Date=",
        date,
        "&X-Amz-Expires=",
        &expires.to_string(),
        token_name,
        token,
        "&X-Amz-SignedHeaders=",
        ENCODED_SIGNED_HEADERS,
        "&X-Amz-Signature=",
        signature.expose(),
    ];
    // Made at once in its size, so that no copy is left behind to be wiped.
    Secret::new(parts.concat())
}

/// The nine parameters, each at most once, by their exact names.
struct Pairs<'a>([Option<&'a str>; NAMES.len()]);

impl<'a> Pairs<'a> {
    fn read(query: &'a str) -> Result<Self, Malformed> {
        let mut found = [None; NAMES.len()];
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').ok_or(Malformed::Pair)?;
            if name.is_empty() {
                return Err(Malformed::Pair);
            }
            let slot = NAMES.iter().zip(&mut found).find(|(known, _)| **known == name);
            let (known, slot) = slot.ok_or(Malformed::UnknownParameter)?;
            if slot.replace(value).is_some() {
                return Err(Malformed::Duplicate(known));
            }
        }
        Ok(Self(found))
    }

    fn required(&self, name: &'static str) -> Result<&'a str, Malformed> {
        self.optional(name)?.ok_or(Malformed::Missing(name))
    }

    /// The value; present but empty is a fault.
    fn optional(&self, name: &'static str) -> Result<Option<&'a str>, Malformed> {
        let found = NAMES.iter().zip(&self.0).find(|(known, _)| **known == name);
        match found.and_then(|(_, value)| *value) {
            Some("") => Err(Malformed::Missing(name)),
            value => Ok(value),
        }
    }
}

fn literal(value: &str, wanted: &str, fault: Malformed) -> Result<(), Malformed> {
    if value == wanted { Ok(()) } else { Err(fault) }
}

/// The standard parser would also take `+60` and `060`. STS ignores the value. 0 is what the reference's clients up to 0.6
/// and others sign, and the reference takes it.
fn expires(value: &str) -> Result<u16, Malformed> {
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let plain = digits && (value == "0" || !value.starts_with('0'));
    let seconds = if plain { value.parse().ok() } else { None };
    seconds.filter(|seconds| *seconds <= 900).ok_or(Malformed::Expires)
}

/// A moment as SigV4 writes it: `YYYYMMDDTHHMMSSZ`, nothing else. Years before 1970 count as 1970:
/// they are long stale either way.
fn amz_date(text: &str) -> Option<UnixTime> {
    let [y1, y2, y3, y4, m1, m2, d1, d2, b'T', h1, h2, i1, i2, s1, s2, b'Z'] = *text.as_bytes()
    else {
        return None;
    };
    let number = |digits: &[u8]| {
        let digits = digits.iter();
        digits
            .map(|b| b.is_ascii_digit().then(|| i16::from(b - b'0')))
            .try_fold(0, |sum, digit| Some(sum * 10 + digit?))
    };
    let small = |a, b| number(&[a, b]).and_then(|n: i16| i8::try_from(n).ok());
    let moment = jiff::civil::DateTime::new(
        number(&[y1, y2, y3, y4])?,
        small(m1, m2)?,
        small(d1, d2)?,
        small(h1, h2)?,
        small(i1, i2)?,
        small(s1, s2)?,
        0,
    )
    .ok()?;
    let stamp = jiff::tz::Offset::UTC.to_timestamp(moment).ok()?;
    Some(UnixTime::from_secs(u64::try_from(stamp.as_second()).unwrap_or(0)))
}

/// The access key id and the region of a credential scope.
fn credential<'a>(value: &'a str, date: &str) -> Result<(&'a str, &'a str), Malformed> {
    let mut parts = value.split("%2F");
    let [Some(key), Some(day), Some(region), Some("sts"), Some("aws4_request"), None] =
        array::from_fn(|_| parts.next())
    else {
        return Err(Malformed::Scope);
    };
    let known = key.strip_prefix("AKIA").or_else(|| key.strip_prefix("ASIA"));
    // GetAccessKeyInfo's pattern allows 16 to 128 word characters; AWS makes upper case and digits.
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    if !known.is_some_and(|rest| (12..=124).contains(&rest.len()) && rest.bytes().all(plain)) {
        return Err(Malformed::AccessKeyId);
    }
    if date.get(..8) != Some(day) {
        return Err(Malformed::ScopeDate);
    }
    let label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if region.is_empty() || region.len() > 63 || !region.bytes().all(label) {
        return Err(Malformed::ScopeRegion);
    }
    Ok((key, region))
}

/// Whether `value` is percent-encoded as SigV4 does it (RFC 3986 unreserved characters as they
/// are, all else as `%` and two upper-case hex digits) and decodes to printable ASCII.
fn canonical_encoding(value: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let hex = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    };
    let encoded = |after: &[u8]| {
        let [high, low, ..] = *after else { return false };
        let (Some(high), Some(low)) = (hex(high), hex(low)) else { return false };
        let decoded = high * 16 + low;
        decoded.is_ascii_graphic() && !unreserved(decoded)
    };
    let bytes = value.as_bytes();
    each(bytes, |b| unreserved(b) | (b == b'%')) && bytes.split(|b| *b == b'%').skip(1).all(encoded)
}

/// Whether all bytes are such. It looks at each, whatever those before it were, so that the compiler
/// can take many at once: a tenth of the work of `all`, on a kilobyte in every review.
fn each(bytes: &[u8], such: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |so_far, byte| so_far & such(*byte))
}

const ACTION: &str = "Action";
const VERSION: &str = "Version";
const ALGORITHM: &str = "X-Amz-Algorithm";
const CREDENTIAL: &str = "X-Amz-Credential";
const DATE: &str = "X-Amz-Date";
const EXPIRES: &str = "X-Amz-Expires";
const SECURITY_TOKEN: &str = "X-Amz-Security-Token";
const SIGNATURE: &str = "X-Amz-Signature";
const SIGNED_HEADERS: &str = "X-Amz-SignedHeaders";
const NAMES: [&str; 9] = [
    ACTION,
    VERSION,
    ALGORITHM,
    CREDENTIAL,
    DATE,
    EXPIRES,
    SECURITY_TOKEN,
    SIGNATURE,
    SIGNED_HEADERS,
];
const ENCODED_SIGNED_HEADERS: &str = "host%3Bx-k8s-aws-id";

/// A session token may have 4096 bytes (STS API reference); percent-encoding and base64 make
/// about 5,700 bytes of it, and up to three times that where every byte is encoded.
const MAX_LEN: usize = 16 * 1024;

#[cfg(test)]
mod tests;
