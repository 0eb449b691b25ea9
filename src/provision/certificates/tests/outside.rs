//! What others make of the files: TLS clients, openssl; and keys that others wrap.

use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::*;

/// Whether a client that trusts `ca` alone completes a handshake with a server of `host`'s leaf.
fn connects(ca: &[u8], host: &Host, name: &str) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::pem_slice_iter(host.leaf.as_ref().unwrap());
    let key = PrivateKeyDer::from_pem_slice(host.key.as_ref().unwrap()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(ca) {
        roots.add(root.unwrap()).unwrap();
    }
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    );
    let mut client = ClientConfig::builder_with_details(provider, Arc::new(Stopped))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_webpki_verifier(verifier.build().unwrap())
        .with_no_client_auth();
    client.enable_sni = false;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &*wire).unwrap();
        server.process_new_packets().unwrap();
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &*wire).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[derive(Debug)]
struct Stopped;

impl rustls::time_provider::TimeProvider for Stopped {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let age = Duration::from_secs(NOW.as_secs());
        Some(rustls::pki_types::UnixTime::since_unix_epoch(age))
    }
}

#[test]
fn tls_clients_take_the_leaf_by_each_of_its_names_and_by_no_other() {
    let host = Host::new();
    let ca = host.ca.as_ref().unwrap();
    for name in ["localhost", "127.0.0.1", "::1"] {
        assert_eq!(connects(ca, &host, name), Ok(()), "{name}");
    }
    for (ca, name) in [(ca, "10.0.0.1"), (&Host::new().ca.unwrap(), "localhost")] {
        let fault = connects(ca, &host, name).unwrap_err();
        assert!(matches!(fault, rustls::Error::InvalidCertificate(_)), "{fault}");
    }
}

#[test]
fn clients_of_the_old_bundle_and_of_the_new_one_connect_after_each_half_of_a_rotation() {
    let mut host = Host::new();
    let old = host.ca.clone().unwrap();
    host.run(&Wanted { rotate: Some(Rotate::Ca), ..wanted() });
    let bundle = host.ca.clone().unwrap();
    assert_eq!(connects(&old, &host, "localhost"), Ok(()));
    assert_eq!(connects(&bundle, &host, "localhost"), Ok(()));
    host.run(&wanted());
    assert_eq!(connects(&bundle, &host, "localhost"), Ok(()));
    assert!(connects(&old, &host, "localhost").is_err());
}

#[test]
fn openssl_verifies_the_leaf_against_the_bundle_as_a_servers() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = Host::new();
    for rotate in [None, Some(Rotate::Ca), None] {
        host.run(&Wanted { rotate, ..wanted() });
        for (name, bytes) in [("ca.pem", &host.ca), ("cert.pem", &host.leaf)] {
            let path = dir.path().join(name);
            crate::files::write_whole(&path, bytes.as_ref().unwrap(), 0o644).unwrap();
        }
        let words = "verify -x509_strict -purpose sslserver -verify_hostname localhost \
                     -attime 1800000000 -CAfile ca.pem cert.pem";
        let ran = Command::new("openssl").args(words.split(' ')).current_dir(dir.path()).output();
        let Ok(ran) = ran else {
            eprintln!("SKIPPED: there is no openssl on this machine");
            return;
        };
        assert!(ran.status.success(), "{rotate:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn the_ca_and_the_leaf_are_what_their_uses_need() {
    let host = Host::new();
    let der =
        |pem: &Option<Vec<u8>>| CertificateDer::from_pem_slice(pem.as_ref().unwrap()).unwrap();
    let (ca, leaf) = (der(&host.ca), der(&host.leaf));
    let (_, ca) = x509_parser::parse_x509_certificate(&ca).unwrap();
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    let basic = ca.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca);
    assert_eq!(basic.value.path_len_constraint, Some(0));
    assert_eq!(ca.key_usage().unwrap().unwrap().value.to_string(), "Key Cert Sign, CRL Sign");
    let basic = leaf.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && !basic.value.ca);
    assert_eq!(leaf.key_usage().unwrap().unwrap().value.to_string(), "Digital Signature");
    let uses = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(uses.server_auth && !uses.client_auth && !uses.any);
    assert_eq!(leaf.issuer(), ca.subject());
    let identifier = |oid| leaf.extensions().iter().any(|one| one.oid == oid);
    assert!(identifier(x509_parser::oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER));
}

#[test]
fn a_brought_ca_signs_with_a_key_in_any_wrapping() {
    for (ca, key) in [
        (RSA, RSA_KEY),
        (
            include_str!("../../../keypair/testdata/ec.cert.pem"),
            include_str!("../../../keypair/testdata/ec.sec1.pem"),
        ),
    ] {
        let mut host = Host { ca: Some(ca.into()), ca_key: Some(key.into()), ..Host::default() };
        let plan = host.run(&wanted());
        assert_eq!(plan.reasons, [reason(Part::Leaf, Why::Missing)]);
        assert_eq!(host.ca_text(), ca);
        assert_eq!(connects(ca.as_bytes(), &host, "::1"), Ok(()));
        host.keeps_everything(&wanted());
    }
}
