//! TLS by rustls on ring: a library in which nothing has a name that could be probed.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::{Context, Result};
use e2e::http::{read_answer, request};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, KeyLogFile, ServerConfig,
    ServerConnection, SignatureScheme, StreamOwned,
};

/// Takes any certificate.
#[derive(Debug)]
struct Anyone(CryptoProvider);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let all = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, all)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let all = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, all)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Answers every request on every connection.
pub(crate) fn serve(address: SocketAddr) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["peer.example".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    let config = Arc::new(config);
    for stream in TcpListener::bind(address)?.incoming() {
        let mut stream = BufReader::new(StreamOwned::new(
            ServerConnection::new(Arc::clone(&config))?,
            stream?,
        ));
        while read_answer(&mut stream).is_ok() {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
            stream.get_mut().write_all(answer)?;
        }
    }
    Ok(())
}

/// So many requests on one connection, with its secrets written to where SSLKEYLOGFILE says.
pub(crate) fn get(address: SocketAddr, version: &str, path: &str, count: u32) -> Result<()> {
    let provider = ring::default_provider();
    let versions: &[&rustls::SupportedProtocolVersion] = match version {
        "1.2" => &[&rustls::version::TLS12],
        _ => &[&rustls::version::TLS13],
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider.clone()))
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.key_log = Arc::new(KeyLogFile::new());
    let name = ServerName::try_from("peer.example").context("a name")?;
    let connection = ClientConnection::new(Arc::new(config), name)?;
    let stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    let mut reader = BufReader::new(stream);
    for number in 0..count {
        let wanted = request(
            &format!("{path}{number}"),
            "peer.example",
            &[("Authorization", "Bearer rustls-rustls")],
        );
        reader.get_mut().write_all(&wanted)?;
        read_answer(&mut reader)?;
    }
    Ok(())
}
