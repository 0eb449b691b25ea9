//! Prefix, base64, size, and the bytes inside.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use iamgate::secret::Secret;
use iamgate::token::Malformed;

use super::admitted;
use crate::support::review::refusal;
use crate::support::vector::{Vector, raw_token};

#[tokio::test]
async fn the_prefix_has_one_spelling_and_stands_first() {
    let good = Vector::good().token();
    let body = good.expose().strip_prefix("k8s-aws-v1.").unwrap();
    for prefix in [
        "",
        "k8s-aws-v1",
        "k8s-aws-v1,",
        "k8s-aws-v1 .",
        "k8s-aws-v1%2E",
        "k8s-aws-v10.",
        "k8s-aws-v01.",
        "k8s-aws-v1\u{2024}",
        "k8s_aws_v1.",
        "k8s\u{2010}aws\u{2010}v1.",
        "K8s-aws-v1.",
        "ｋ8s-aws-v1.",
        "\u{212a}8s-aws-v1.",
        "\u{feff}k8s-aws-v1.",
        "\u{200b}k8s-aws-v1.",
        "\0k8s-aws-v1.",
        "\tk8s-aws-v1.",
        "\r\nk8s-aws-v1.",
        "Bearer k8s-aws-v1.",
        "\"k8s-aws-v1.",
        "ak8s-aws-v1.",
    ] {
        let token = Secret::new(format!("{prefix}{body}"));
        assert_eq!(refusal(&token).await, Malformed::Prefix.into(), "{prefix:?}");
    }
}

#[tokio::test]
async fn a_character_beside_the_alphabet_is_refused_wherever_it_stands() {
    let good = Vector::good().token();
    let text = good.expose();
    let strange = [
        "+",
        "/",
        "=",
        "%3D",
        "%2B",
        ".",
        ",",
        ":",
        "~",
        " ",
        "\t",
        "\n",
        "\r",
        "\u{b}",
        "\u{c}",
        "\0",
        "\u{7f}",
        "\u{a0}",
        "\u{2028}",
        "\u{feff}",
        "ａ",
        "é",
        "*",
        "!",
        "\\",
        "\"",
        "k8s-aws-v1.",
    ];
    for strange in strange {
        for at in ["k8s-aws-v1.".len(), 12, 13, 14, text.len() / 2, text.len()] {
            let token = Secret::new(format!("{}{strange}{}", &text[..at], &text[at..]));
            assert_eq!(refusal(&token).await, Malformed::Base64.into(), "{strange:?} at {at}");
        }
    }
}

#[tokio::test]
async fn the_other_alphabet_is_refused_where_the_two_differ() {
    // Where three bytes end with `~` the last letter is one of the two that alphabets differ in.
    let differing = (1..=3).map(|length| {
        let value = format!("{}~", "a".repeat(length));
        Vector::good().set("X-Amz-Security-Token", &value)
    });
    let differing = differing.map(|vector| (vector.clone(), vector.token().expose().to_owned()));
    let body = |text: &str| text.strip_prefix("k8s-aws-v1.").unwrap().to_owned();
    let (vector, text) = differing.into_iter().find(|(_, text)| body(text).contains('-')).unwrap();
    assert_eq!(admitted(&vector), Ok(()));
    let other = Secret::new(format!("k8s-aws-v1.{}", body(&text).replace('-', "+")));
    assert_eq!(refusal(&other).await, Malformed::Base64.into());
}

#[tokio::test]
async fn bits_after_the_end_are_zero_and_padding_is_none() {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for more in ["a", "aa", "aaa"] {
        let vector = Vector::good().set("X-Amz-Security-Token", more);
        assert_eq!(admitted(&vector), Ok(()));
        let text = vector.token().expose().to_owned();
        let free = [0, 4, 2][vector.url().len() % 3];
        let last = ALPHABET.find(text.chars().last().unwrap()).unwrap();
        for bits in 1..1 << free {
            let other = &ALPHABET[last + bits..][..1];
            let other = Secret::new(format!("{}{other}", &text[..text.len() - 1]));
            assert_eq!(refusal(&other).await, Malformed::Base64.into(), "{more} {bits}");
        }
        for padding in ["=", "==", "===", "====", "=A", "A="] {
            let padded = Secret::new(format!("{text}{padding}"));
            assert_eq!(refusal(&padded).await, Malformed::Base64.into(), "{more} {padding}");
        }
    }
}

#[tokio::test]
async fn sixteen_kibibytes_are_read_and_a_byte_more_is_not() {
    let letters = |length: usize| Secret::new(format!("k8s-aws-v1.{}", "A".repeat(length - 11)));
    // No base64 has a length of four times something and one more.
    assert_eq!(refusal(&letters(16_384)).await, Malformed::Base64.into());
    assert_eq!(refusal(&letters(16_383)).await, Malformed::Character.into());
    for length in [16_385, 16_386, 20_000, 60_000] {
        assert_eq!(refusal(&letters(length)).await, Malformed::Size(length).into());
    }
    // Bytes count, not characters.
    let wide = Secret::new(format!("k8s-aws-v1.{}", "é".repeat(8_187)));
    assert_eq!(refusal(&wide).await, Malformed::Size(16_385).into());
}

#[tokio::test]
async fn what_is_inside_is_printable_ascii_in_every_place() {
    let url = Vector::good().url();
    for byte in (0..=0x20).chain(0x7f..=0xff_u8) {
        for at in [0, 8, 36, 37, url.len()] {
            let mut bytes = url.clone().into_bytes();
            bytes.insert(at, byte);
            let token = raw_token(&bytes);
            assert_eq!(refusal(&token).await, Malformed::Character.into(), "{byte} at {at}");
        }
    }
}

#[tokio::test]
async fn other_encodings_of_the_same_url_are_other_bytes() {
    let url = Vector::good().url();
    let little: Vec<u8> = url.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = url.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let wide: Vec<u8> = url.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
    let with = |slash: &[u8]| {
        let (scheme, rest) = url.split_once('/').unwrap();
        [scheme.as_bytes(), slash, rest.as_bytes()].concat()
    };
    for (name, bytes) in [
        ("UTF-16, little end first", little.clone()),
        ("UTF-16, big end first", big.clone()),
        ("UTF-16 with its mark, little", [&[0xff, 0xfe][..], &little].concat()),
        ("UTF-16 with its mark, big", [&[0xfe, 0xff][..], &big].concat()),
        ("UTF-32", wide),
        ("UTF-8 with its mark", [&[0xef, 0xbb, 0xbf][..], url.as_bytes()].concat()),
        ("a slash of two bytes", with(&[0xc0, 0xaf])),
        ("a slash of three bytes", with(&[0xe0, 0x80, 0xaf])),
        ("a slash of four bytes", with(&[0xf0, 0x80, 0x80, 0xaf])),
        ("half a surrogate pair", with(&[0xed, 0xa0, 0x80])),
        ("a byte that begins nothing", with(&[0xf8])),
        ("a full-width slash", with("\u{ff0f}".as_bytes())),
        ("a division slash", with("\u{2215}".as_bytes())),
    ] {
        assert_eq!(refusal(&raw_token(&bytes)).await, Malformed::Character.into(), "{name}");
    }
    for (name, text, fault) in [
        ("base64 once more", URL_SAFE_NO_PAD.encode(&url), Malformed::Scheme),
        ("a token in a token", Vector::good().token().expose().to_owned(), Malformed::Scheme),
        ("a JSON string", format!("\"{url}\""), Malformed::Scheme),
        ("angle brackets", format!("<{url}>"), Malformed::Scheme),
        ("escaped as a whole", url.replace(':', "%3A").replace('/', "%2F"), Malformed::Scheme),
        ("a request line", format!("GET+{url}"), Malformed::Scheme),
        ("two URLs", format!("{url}{url}"), Malformed::Duplicate("Version")),
        ("nothing", String::new(), Malformed::Scheme),
    ] {
        let token = raw_token(text.as_bytes());
        assert_eq!(refusal(&token).await, fault.into(), "{name}");
    }
}
