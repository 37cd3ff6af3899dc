use super::super::super::elf::Emulation;
use super::super::super::elf::testing::{CODE, CODE_VADDR, GoText, Image, STEP};
use super::super::{Examination, Point, ProbeKind, examine};

fn look(image: &Image, called: &str) -> Examination {
    examine(&image.build(), called, Emulation::default())
}

/// Every function of these files begins with `push`.
fn point(kind: ProbeKind, i: u64) -> Point {
    Point {
        kind,
        offset: CODE + i * STEP,
        emulated: true,
        entry: CODE + i * STEP,
    }
}

#[test]
fn openssl() {
    let image = Image {
        exported: vec!["EVP_KDF_derive", "other"],
        soname: Some("libcrypto.so.3"),
        ..Image::default()
    };
    let found = look(&image, "libcrypto.so.3.0.15");
    assert_eq!(found.points, [point(ProbeKind::OpensslKdfDerive, 0)]);
    assert_eq!(found.missing, []);
    // Node: everything in one program, of any name.
    let image = Image {
        exported: vec!["SSL_write", "EVP_KDF_derive", "SSL_read"],
        ..Image::default()
    };
    let expected = [
        point(ProbeKind::OpensslKdfDerive, 1),
        point(ProbeKind::SslRead, 2),
        point(ProbeKind::SslWrite, 0),
    ];
    assert_eq!(look(&image, "node").points, expected);
}

#[test]
fn what_a_library_lacks_is_told() {
    let old = Image {
        exported: vec!["EVP_DigestInit"],
        soname: Some("libcrypto.so.1.1"),
        ..Image::default()
    };
    let missing = |image: &Image, called| -> Vec<&'static str> {
        let found = look(image, called);
        assert_eq!(found.points, []);
        found.missing.iter().map(|missing| missing.what).collect()
    };
    assert_eq!(missing(&old, "anything"), ["openssl:EVP_KDF_derive"]);
    let other = Image {
        exported: vec!["f"],
        ..Image::default()
    };
    let expected = ["gnutls:_gnutls_prf_raw", "gnutls:gnutls_hkdf_expand"];
    assert_eq!(missing(&other, "libgnutls.so.30"), expected);
    assert_eq!(missing(&other, "libssl3.so"), ["nss:secret"]);
    assert_eq!(missing(&other, "libssl3something.so"), [""; 0]);
    assert_eq!(missing(&other, "cat"), [""; 0]);
}

#[test]
fn gnutls_uses_an_inner_function() {
    let image = Image {
        exported: vec!["inner", "gnutls_hkdf_expand", "_gnutls_prf_raw"],
        ..Image::default()
    };
    let mut data = image.build();
    let at = (CODE + STEP) as usize;
    // sub $0x18,%rsp; call inner
    data[at..at + 4].copy_from_slice(&[0x48, 0x83, 0xec, 0x18]);
    let found = examine(&data, "libgnutls.so.30", Emulation::default());
    let prf = point(ProbeKind::GnutlsPrfRaw, 2);
    let mut outer = point(ProbeKind::GnutlsHkdfExpand, 1);
    outer.emulated = false;
    assert_eq!(found.points, [prf, outer]);
    // The function's length is 4 bytes: with 9 the call belongs to it.
    let symbols: Vec<usize> = (0..data.len() - 8)
        .filter(|i| data[*i..i + 8] == (CODE_VADDR + STEP).to_le_bytes())
        .collect();
    for symbol in symbols {
        data[symbol + 8] = 9;
    }
    let distance = -(STEP as i32) - 9;
    data[at + 4] = 0xe8;
    data[at + 5..at + 9].copy_from_slice(&distance.to_le_bytes());
    let found = examine(&data, "libgnutls.so.30", Emulation::default());
    let inner = point(ProbeKind::GnutlsHkdfExpand, 0);
    assert_eq!(found.points, [prf, outer, inner]);
    // Out of the code it leads nowhere.
    data[at + 8] = 0x40;
    let found = examine(&data, "libgnutls.so.30", Emulation::default());
    assert_eq!(found.points, [prf, outer]);
}

#[test]
fn go_programs() {
    let functions = |functions: &[&'static str]| Image {
        go: Some((functions.to_vec(), GoText::Header)),
        ..Image::default()
    };
    let name = "crypto/tls.(*Config).writeKeyLog";
    let conn = "crypto/tls.(*Conn).Read";
    let found = look(&functions(&["main.main", conn, name]), "prog");
    assert_eq!(found.points, [point(ProbeKind::GoWriteKeyLog, 2)]);
    let found = look(&functions(&["main.main", conn]), "prog");
    assert_eq!(found.missing.len(), 1);
    assert_eq!(found.missing[0].what, ProbeKind::GoWriteKeyLog.name());
    // No TLS in it: nothing is missing.
    let found = look(&functions(&["main.main"]), "prog");
    assert_eq!((found.points.len(), found.missing.len()), (0, 0));
    let old = Image {
        magic: Some(0xffff_fffa),
        ..functions(&["main.main", conn, name])
    };
    let found = look(&old, "prog");
    assert_eq!(found.missing[0].why, "built with a Go before 1.18");
}

#[test]
fn rust_and_boringssl() {
    let image = Image {
        local: vec![
            "aws_lc_0_32_3_HKDF_expand",
            "aws_lc_0_32_3_CRYPTO_tls1_prf",
            "_ZN4bssl14ssl_log_secretEPK6ssl_stPKcNS_4SpanIKhEE",
            "aws_lc_0_30_0_HKDF_expand",
        ],
        ..Image::default()
    };
    let expected = [
        point(ProbeKind::HkdfExpand, 0),
        point(ProbeKind::HkdfExpand, 3),
        point(ProbeKind::Tls1Prf, 1),
        point(ProbeKind::BoringLogSecret, 2),
    ];
    assert_eq!(look(&image, "rustls-client").points, expected);
}

#[test]
fn what_is_no_program() {
    let script = examine(&b"#!/bin/sh\n".to_vec(), "x.sh", Emulation::default());
    assert_eq!(
        script,
        Examination {
            read: 0,
            ..script.clone()
        }
    );
    assert!(!script.malformed);
    let named = examine(&b"INPUT(-lx)".to_vec(), "libssl.so", Emulation::default());
    assert_eq!(named.missing[0].what, "file");
    assert_eq!(named.missing[0].why, "not an ELF file");
    let mut data = Image::default().build();
    data.truncate(100);
    assert!(examine(&data, "x", Emulation::default()).malformed);
}
