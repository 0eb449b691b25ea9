//! `DescribeInstances`: the form that asks, the XML that answers.
//!
//! Source: Amazon EC2 API Reference, "DescribeInstances", "Error codes".

use std::collections::HashMap;

use serde::Deserialize;

use super::{Ec2Fault, Reply};
use crate::identity::AccountId;
use crate::mapping::InstanceId;

/// A running instance that has a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Instance {
    pub(super) id: InstanceId,
    pub(super) owner: AccountId,
    /// A host name; never empty.
    pub(super) name: Box<str>,
}

/// Why a call tells nothing about all of its instances.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum CallFault {
    /// EC2 does not know some of them, and so tells of none: these, if it says which.
    Unknown(Vec<InstanceId>),
    Fault(Ec2Fault),
}

/// The form that asks for `ids`. An id needs no escaping.
pub(super) fn form(ids: &[InstanceId]) -> String {
    let mut form = format!("Action=DescribeInstances&Version={VERSION}");
    for (number, id) in (1..).zip(ids) {
        form.push_str(&format!("&InstanceId.{number}={id}"));
    }
    form
}

/// Reads an answer: each instance that EC2 tells of, or why it will not do.
pub(super) fn read(
    reply: &Reply,
) -> Result<HashMap<InstanceId, Result<Instance, Ec2Fault>>, CallFault> {
    if reply.status != 200 {
        return Err(refusal(reply));
    }
    let unreadable = CallFault::Fault(Ec2Fault::Unreadable);
    let text = str::from_utf8(&reply.body).map_err(|_| unreadable.clone())?;
    let answer: Answer = quick_xml::de::from_str(text).map_err(|_| unreadable.clone())?;
    let mut found = HashMap::new();
    for reservation in answer.reservations.items {
        let owner: AccountId = reservation.owner.parse().map_err(|_| unreadable.clone())?;
        for told in reservation.instances.items {
            let id: InstanceId = told.id.parse().map_err(|_| unreadable.clone())?;
            let instance = usable(&id, owner, &told);
            // The same instance twice would leave open which one counts.
            if found.insert(id, instance).is_some() {
                return Err(unreadable);
            }
        }
    }
    Ok(found)
}

fn usable(id: &InstanceId, owner: AccountId, told: &Told) -> Result<Instance, Ec2Fault> {
    if !["pending", "running"].contains(&&*told.state.name) {
        return Err(Ec2Fault::NotRunning);
    }
    let name = told.private_dns.as_deref().unwrap_or_default();
    match is_host_name(name) {
        true => Ok(Instance { id: id.clone(), owner, name: name.into() }),
        false => Err(Ec2Fault::NoName),
    }
}

/// RFC 1123: letters, digits, `-` and `.`, at most 253.
fn is_host_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

fn refusal(reply: &Reply) -> CallFault {
    let text = str::from_utf8(&reply.body).unwrap_or_default();
    let Ok(ErrorAnswer { errors: Errors { error: Some(error) } }) = quick_xml::de::from_str(text)
    else {
        return CallFault::Fault(match reply.status {
            429 => Ec2Fault::Throttled,
            status => Ec2Fault::Status(status),
        });
    };
    CallFault::Fault(match &*error.code {
        "InvalidInstanceID.NotFound" | "InvalidInstanceID.Malformed" => {
            return CallFault::Unknown(named(&error.message));
        }
        code if THROTTLING.contains(&code) => Ec2Fault::Throttled,
        "UnauthorizedOperation"
        | "AuthFailure"
        | "OptInRequired"
        | "PendingVerification"
        | "Blocked" => Ec2Fault::Forbidden,
        _ => match reply.status {
            401 | 403 => Ec2Fault::Forbidden,
            429 => Ec2Fault::Throttled,
            status => Ec2Fault::Status(status),
        },
    })
}

/// The ids in `The instance IDs 'i-0123abcd, i-0123abce' do not exist`.
fn named(message: &str) -> Vec<InstanceId> {
    let words = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter_map(|word| word.parse().ok()).collect()
}

const VERSION: &str = "2016-11-15";

/// The codes that AWS SDKs take for "slow down" (AWS SDKs reference guide, retry behaviour).
const THROTTLING: [&str; 11] = [
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

#[derive(Deserialize)]
#[serde(rename = "DescribeInstancesResponse")]
struct Answer {
    #[serde(rename = "reservationSet")]
    reservations: Set<Reservation>,
}

#[derive(Deserialize)]
struct Set<T> {
    #[serde(rename = "item", default = "Vec::new")]
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Reservation {
    #[serde(rename = "ownerId")]
    owner: Box<str>,
    #[serde(rename = "instancesSet")]
    instances: Set<Told>,
}

#[derive(Deserialize)]
struct Told {
    #[serde(rename = "instanceId")]
    id: Box<str>,
    #[serde(rename = "instanceState")]
    state: State,
    #[serde(rename = "privateDnsName")]
    private_dns: Option<Box<str>>,
}

#[derive(Deserialize)]
struct State {
    name: Box<str>,
}

#[derive(Deserialize)]
#[serde(rename = "Response")]
struct ErrorAnswer {
    #[serde(rename = "Errors")]
    errors: Errors,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(rename = "Error")]
    error: Option<ErrorTold>,
}

#[derive(Deserialize)]
struct ErrorTold {
    #[serde(rename = "Code")]
    code: Box<str>,
    #[serde(rename = "Message", default)]
    message: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the API reference's example, with much left out that we pass over.
    const ANSWER: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>8f7724cf-496f-496e-8fe3-example</requestId>
  <reservationSet>
    <item>
      <reservationId>r-1234567890abcdef0</reservationId>
      <ownerId>123456789012</ownerId>
      <groupSet/>
      <instancesSet>
        <item>
          <instanceId>i-1234567890abcdef0</instanceId>
          <instanceState><code>16</code><name>running</name></instanceState>
          <privateDnsName>ip-10-0-0-1.ec2.internal</privateDnsName>
          <networkInterfaceSet><item><ownerId>999999999999</ownerId>
            <privateDnsName>other</privateDnsName><instanceId>x</instanceId></item>
          </networkInterfaceSet>
          <tagSet><item><key>a&amp;b</key><value>&lt;ownerId&gt;</value></item></tagSet>
        </item>
        <item>
          <instanceId>i-0123abcd</instanceId>
          <instanceState><code>48</code><name>terminated</name></instanceState>
          <privateDnsName/>
        </item>
      </instancesSet>
    </item>
    <item>
      <ownerId>210987654321</ownerId>
      <instancesSet>
        <item>
          <instanceId>i-0123abce</instanceId>
          <instanceState><code>0</code><name>pending</name></instanceState>
          <privateDnsName></privateDnsName>
        </item>
      </instancesSet>
    </item>
  </reservationSet>
</DescribeInstancesResponse>"#;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, body: body.into() }
    }

    fn id(text: &str) -> InstanceId {
        text.parse().unwrap()
    }

    #[test]
    fn the_form_asks_for_each_id() {
        assert_eq!(
            form(&[id("i-0123abcd"), id("i-0123456789abcdef0")]),
            "Action=DescribeInstances&Version=2016-11-15&InstanceId.1=i-0123abcd\
             &InstanceId.2=i-0123456789abcdef0",
        );
    }

    #[test]
    fn an_answer_tells_of_each_instance() {
        let found = read(&reply(200, ANSWER)).unwrap();
        assert_eq!(found.len(), 3);
        let running = found.get(&id("i-1234567890abcdef0")).unwrap().clone().unwrap();
        assert_eq!(
            (running.owner.as_str(), &*running.name),
            ("123456789012", "ip-10-0-0-1.ec2.internal")
        );
        assert_eq!(found.get(&id("i-0123abcd")), Some(&Err(Ec2Fault::NotRunning)));
        assert_eq!(found.get(&id("i-0123abce")), Some(&Err(Ec2Fault::NoName)));
        let none = "<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>";
        assert_eq!(read(&reply(200, none)).unwrap().len(), 0);
    }

    #[test]
    fn an_answer_of_another_shape_is_unreadable() {
        let twice = ANSWER.replace("i-0123abce", "i-0123abcd");
        let bomb = format!(
            "<!DOCTYPE x [<!ENTITY a \"i-0123abcf\">]>{}",
            ANSWER.split_once("?>").unwrap().1.replace("i-0123abce", "&a;")
        );
        for body in [
            "",
            "{}",
            "<html>",
            "<DescribeInstancesResponse/>",
            "<Other><reservationSet/></Other",
            &ANSWER[..400],
            &ANSWER.replace("<ownerId>123456789012</ownerId>", ""),
            &ANSWER.replace("123456789012", "12345678901"),
            &ANSWER.replace("i-1234567890abcdef0", "i-x"),
            &ANSWER.replace("<name>running</name>", ""),
            &ANSWER.replace(
                "<ownerId>210987654321</ownerId>",
                "<ownerId>210987654321</ownerId><ownerId>123456789012</ownerId>",
            ),
            &twice,
            &bomb,
        ] {
            let fault = CallFault::Fault(Ec2Fault::Unreadable);
            assert_eq!(read(&reply(200, body)), Err(fault), "{body}");
        }
        let fault = CallFault::Fault(Ec2Fault::Unreadable);
        assert_eq!(read(&Reply { status: 200, body: vec![0xff] }), Err(fault));
    }

    #[test]
    fn depth_and_number_are_no_danger() {
        const MANY: usize = 100_000;
        let within =
            |more: &str| ANSWER.replace("<reservationSet>", &format!("<reservationSet>{more}"));
        let deep = format!("<x>{}{}</x>", "<y>".repeat(MANY), "</y>".repeat(MANY));
        assert_eq!(read(&reply(200, &within(&deep))).unwrap().len(), 3);
        let fault = Err(CallFault::Fault(Ec2Fault::Unreadable));
        assert_eq!(read(&reply(200, &within(&"<y>".repeat(MANY)))), fault);
        assert_eq!(read(&reply(200, &within(&"<item/>".repeat(MANY)))), fault);
    }

    #[test]
    fn only_a_host_name_is_a_name() {
        for name in ["a b", "a/b", "a..b", ".", "a.", "system:masters", "ip\n", "é", "{{x}}"] {
            let body = ANSWER.replace("ip-10-0-0-1.ec2.internal", name);
            let found = read(&reply(200, &body)).unwrap();
            assert_eq!(
                found.get(&id("i-1234567890abcdef0")),
                Some(&Err(Ec2Fault::NoName)),
                "{name}"
            );
        }
    }

    #[test]
    fn each_refusal_is_the_one_that_is_named() {
        let error = |code: &str, message: &str| {
            format!(
                "<?xml version=\"1.0\"?><Response><Errors><Error><Code>{code}</Code>\
                 <Message>{message}</Message></Error></Errors><RequestID>x</RequestID></Response>",
            )
        };
        let unknown = |ids: &[&str]| CallFault::Unknown(ids.iter().map(|text| id(text)).collect());
        for (status, body, fault) in [
            (
                400,
                error("InvalidInstanceID.NotFound", "The instance ID 'i-0123abcd' does not exist"),
                unknown(&["i-0123abcd"]),
            ),
            (
                400,
                error(
                    "InvalidInstanceID.NotFound",
                    "The instance IDs 'i-0123abcd, i-0123456789abcdef0' do not exist",
                ),
                unknown(&["i-0123abcd", "i-0123456789abcdef0"]),
            ),
            (400, error("InvalidInstanceID.Malformed", "Invalid id"), unknown(&[])),
            (503, error("RequestLimitExceeded", ""), CallFault::Fault(Ec2Fault::Throttled)),
            (400, error("EC2ThrottledException", ""), CallFault::Fault(Ec2Fault::Throttled)),
            (503, error("SlowDown", ""), CallFault::Fault(Ec2Fault::Throttled)),
            (400, error("NotThrottling", ""), CallFault::Fault(Ec2Fault::Status(400))),
            (403, error("UnauthorizedOperation", ""), CallFault::Fault(Ec2Fault::Forbidden)),
            (401, error("AuthFailure", ""), CallFault::Fault(Ec2Fault::Forbidden)),
            (403, error("Whatever", ""), CallFault::Fault(Ec2Fault::Forbidden)),
            (400, error("Whatever", ""), CallFault::Fault(Ec2Fault::Status(400))),
            (500, error("InternalError", ""), CallFault::Fault(Ec2Fault::Status(500))),
            (429, "slow".to_owned(), CallFault::Fault(Ec2Fault::Throttled)),
            (502, "<html>".to_owned(), CallFault::Fault(Ec2Fault::Status(502))),
            (302, String::new(), CallFault::Fault(Ec2Fault::Status(302))),
        ] {
            assert_eq!(read(&reply(status, &body)), Err(fault), "{status} {body}");
        }
    }
}
