use proptest::prelude::*;

use super::*;
use crate::identity::Partition;
use crate::token::sign::RESERVED;

const URL: &str = "https://sts.us-west-2.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15\
    &X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%2Faws4_request\
    &X-Amz-Date=20260102T030405Z&X-Amz-Expires=60&X-Amz-Security-Token=FwoG%2F%2Babc%3D\
    &X-Amz-SignedHeaders=host%3Bx-k8s-aws-id\
    &X-Amz-Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn fields(url: &str) -> Result<Fields, Malformed> {
    read(url, &HostPolicy::new(Partition::Aws))
}

#[test]
fn a_url_is_rebuilt_byte_for_byte() {
    let rebuilt = target(&fields(URL).unwrap());
    assert_eq!(format!("https://sts.us-west-2.amazonaws.com{}", rebuilt.expose()), URL);
}

#[test]
fn a_scope_names_a_region_also_where_the_host_does_not_say_which() {
    let hosts = HostPolicy::new(Partition::Aws).extra_hosts(["vpce.example.com".into()]);
    let judge = |region: &str| {
        let url = URL.replace("sts.us-west-2.amazonaws.com", "vpce.example.com");
        read(&url.replace("us-west-2", region), &hosts).map(|fields| fields.region)
    };
    assert_eq!(judge("us-west-2"), Ok("us-west-2".into()));
    let longest = "a".repeat(63);
    assert_eq!(judge(&longest).as_deref(), Ok(&*longest));
    let long = "a".repeat(64);
    for region in ["", "US-WEST-2", "us_west_2", "us.west", "us%20west", "*", &long] {
        assert_eq!(judge(region), Err(Malformed::ScopeRegion), "{region:?}");
    }
}

#[test]
fn wrapping_and_unwrapping_are_inverse() {
    assert_eq!(unwrap(wrap(URL).expose()).unwrap().expose(), URL);
}

#[test]
fn a_url_of_any_length_is_unwrapped_in_full() {
    for length in 0..=9 {
        let url = "x".repeat(length);
        assert_eq!(unwrap(wrap(&url).expose()).as_ref().map(Secret::expose), Ok(&*url));
    }
}

#[test]
fn a_byte_that_is_not_printable_ascii_is_seen_wherever_it_stands() {
    for at in 0..=40 {
        for byte in [" ", "\n", "\0", "\u{7f}", "é"] {
            let url = format!("{}{byte}{}", "x".repeat(at), "x".repeat(40 - at));
            assert_eq!(unwrap(wrap(&url).expose()), Err(Malformed::Character), "{byte:?} at {at}");
        }
    }
}

#[test]
fn a_token_of_the_greatest_length_is_still_judged_by_what_it_holds() {
    let fault =
        |length: usize| unwrap(&format!("{PREFIX}{}", "!".repeat(length - 11))).unwrap_err();
    assert_eq!(fault(16_384), Malformed::Base64);
    assert_eq!(fault(16_385), Malformed::Size(16_385));
}

#[test]
fn a_date_has_one_spelling() {
    assert_eq!(amz_date("20260102T030405Z"), Some(UnixTime::from_secs(1_767_323_045)));
    assert_eq!(amz_date("00010101T000000Z"), Some(UnixTime::from_secs(0)));
    for text in [
        "20260230T030405Z",
        "20260102t030405z",
        "20260102T030405z",
        "20260102T030405",
        "20260102T030405.5Z",
        "20260102T030460Z",
        "20260102T240000Z",
        "20261302T030405Z",
        "2026010T0030405Z",
        "+0260102T030405Z",
        "20260102T030405+0000",
        "２0260102T0304Z",
        "",
    ] {
        assert_eq!(amz_date(text), None, "{text:?}");
    }
}

#[test]
fn an_expiry_has_one_spelling() {
    for (text, seconds) in [("0", 0), ("1", 1), ("60", 60), ("900", 900)] {
        assert_eq!(expires(text), Ok(seconds));
    }
    for text in ["", "00", "060", "+60", "-0", "-1", "901", "65536", "65537", "60.0", "60 ", "６"]
    {
        assert_eq!(expires(text), Err(Malformed::Expires), "{text:?}");
    }
}

#[test]
fn percent_encoding_has_one_spelling() {
    for value in ["abc", "FwoG%2F%2Babc%3D", "a-b._~9", "%25"] {
        assert!(canonical_encoding(value), "{value}");
    }
    for value in
        ["%2f", "%41", "a+b", "a/b", "a=b", "%", "%2", "%zz", "%20", "%00", "%0A", "%C3%A9", "%7e"]
    {
        assert!(!canonical_encoding(value), "{value}");
    }
}

#[test]
fn every_printable_byte_has_one_spelling_and_the_others_have_none() {
    for byte in 0..=u8::MAX {
        let (plain, encoded) = (char::from(byte).to_string(), format!("%{byte:02X}"));
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let reserved = byte.is_ascii_graphic() && !unreserved;
        assert_eq!(canonical_encoding(&plain), unreserved, "{plain:?}");
        assert_eq!(canonical_encoding(&encoded), reserved, "{encoded}");
    }
}

proptest! {
    #[test]
    fn whatever_the_order_of_the_pairs_the_target_is_the_same(seed in any::<u64>()) {
        let (head, query) = URL.split_once('?').unwrap();
        let mut pairs: Vec<_> = query.split('&').collect();
        let mut state = seed;
        for i in (1..pairs.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            pairs.swap(i, (state >> 33) as usize % (i + 1));
        }
        let shuffled = format!("{head}?{}", pairs.join("&"));
        let rebuilt = target(&fields(&shuffled).unwrap());
        prop_assert_eq!(format!("https://sts.us-west-2.amazonaws.com{}", rebuilt.expose()), URL);
    }

    #[test]
    fn canonical_is_what_comes_back_when_it_is_decoded_and_encoded_again(
        value in "([a-zA-Z0-9._~-]|%[0-9A-F]{2}|[%/+=é ]|%[0-9a-g]){0,12}",
    ) {
        let decoded: Vec<u8> = percent_encoding::percent_decode_str(&value).collect();
        let again = percent_encoding::percent_encode(&decoded, RESERVED).to_string();
        let canonical = again == value && decoded.iter().all(u8::is_ascii_graphic);
        prop_assert_eq!(canonical_encoding(&value), canonical, "{}", value);
    }

    #[test]
    fn what_still_parses_after_a_mutation_rebuilds_to_the_same_pairs(
        at in 0..URL.len(), byte in 0x21_u8..0x7f, how in 0..3_u8,
    ) {
        let mut bytes = URL.as_bytes().to_vec();
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => { bytes.remove(at); }
        }
        let url = String::from_utf8(bytes).unwrap();
        if let Ok(fields) = fields(&url) {
            let rebuilt = format!("https://{}{}", fields.host.as_str(), target(&fields).expose());
            let sorted = |url: &str| {
                let (head, query) = url.split_once('?').unwrap();
                let mut pairs: Vec<_> = query.split('&').map(str::to_owned).collect();
                pairs.sort();
                (head.to_owned(), pairs)
            };
            prop_assert_eq!(sorted(&rebuilt), sorted(&url));
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(text in ".{0,300}", head in 0..4_usize) {
        let heads = ["", "https://", "https://sts.us-west-2.amazonaws.com/?", "k8s-aws-v1."];
        let text = format!("{}{text}", heads[head]);
        drop(fields(&text));
        drop(unwrap(&text));
    }
}
