//! From the options to a connection.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::unverified::AnyCertificate;
use super::{Tls, TlsOptions, failure};
use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};

/// Secures `stream`, which goes to `address`.
///
/// # Errors
/// [`Config`](ErrorKind::Config): a file cannot be used; [`Tls`](ErrorKind::Tls): one side refuses the other;
/// [`Connect`](ErrorKind::Connect): the connection broke.
pub(crate) async fn handshake(stream: TcpStream, address: &NodeAddress, tls: &Tls) -> Result<TlsStream<TcpStream>> {
    let options = tls.options();
    let host = options.server_name.as_deref().unwrap_or(&address.host);
    let name = ServerName::try_from(host.to_owned()).map_err(|error| {
        let host = host.escape_debug();
        let text = format!("no certificate can be for '{host}': name what it is for by server-name=NAME");
        Error::config(text).with_source(error)
    })?;
    let connector = TlsConnector::from(tls.config().await?);
    connector.connect(name, stream).await.map_err(|error| failure::of_handshake(error, options))
}

/// Whether whoever is at the other end of `socket` speaks TLS. Nobody is trusted, and nothing is said.
pub(crate) async fn is_spoken(socket: TcpStream) -> bool {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let (Ok(builder), Ok(name)) = (builder, ServerName::try_from("unknown.invalid")) else { return false };
    let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    match TlsConnector::from(Arc::new(config)).connect(name, socket).await {
        Ok(_) => true,
        Err(error) => failure::is_of_tls(&error),
    }
}

/// Reads the files.
pub(super) async fn configure(options: &TlsOptions) -> Result<Arc<ClientConfig>> {
    let options = options.clone();
    match tokio::task::spawn_blocking(move || read(&options)).await {
        Ok(config) => config.map(Arc::new),
        Err(error) => Err(Error::new(ErrorKind::Interrupted, "the certificates could not be read").with_source(error)),
    }
}

fn read(options: &TlsOptions) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::config("no version of TLS can be spoken").with_source(error))?;
    let builder = if options.accept_any_certificate {
        tracing::warn!(
            "verify=off: the certificates of servers are not looked at, so that whoever is on the way can read and change everything"
        );
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        builder.with_root_certificates(match &options.ca {
            Some(file) => own_roots(file)?,
            None => system_roots()?,
        })
    };
    let Some((certificate, key)) = &options.identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate, "the client certificate")?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(error, key, "the client's key"))?;
    builder.with_client_auth_cert(chain, secret).map_err(|error| {
        let text =
            format!("the key {} and the certificate {} do not make a pair", key.display(), certificate.display());
        Error::config(text).with_source(error)
    })
}

fn own_roots(file: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, "the CA")? {
        roots.add(certificate).map_err(|error| {
            Error::config("the CA is no certificate that can be used").with_source(error).at(file.display())
        })?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        let text = format!("this machine knows no CA that could be trusted{why}: name one by ca=PATH");
        return Err(Error::config(text));
    }
    for error in found.errors {
        tracing::debug!(%error, "some of this machine's CAs cannot be read");
    }
    Ok(roots)
}

/// All certificates in `file`; at least one.
fn certificates(file: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    let found = read.map_err(|error| unusable(error, file, what))?;
    match found.is_empty() {
        true => Err(unusable(pem::Error::NoItemsFound, file, what)),
        false => Ok(found),
    }
}

fn unusable(error: pem::Error, file: &Path, what: &str) -> Error {
    let text = match &error {
        pem::Error::Io(_) => format!("{what} cannot be read"),
        pem::Error::NoItemsFound => {
            format!("{what} is not in this file, which has to be PEM (and a key not encrypted)")
        }
        _ => format!("{what} is not what PEM files look like"),
    };
    Error::config(text).with_source(error).at(file.display())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----\n").unwrap();
        let path = file.path();
        let missing = path.with_extension("missing");
        for (options, named) in [
            (TlsOptions::default().ca(path), path),
            (TlsOptions::default().ca(&missing), &missing),
            (TlsOptions::default().accept_any_certificate(true).identity(path, path), path),
            (TlsOptions::default().accept_any_certificate(true).identity(&missing, path), &missing),
        ] {
            let error = read(&options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.to_string().starts_with(named.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_certificate_of_one_key_does_not_go_with_another() {
        let pair = || rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let (one, other) = (pair(), pair());
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
        std::fs::write(&certificate, one.cert.pem()).unwrap();
        std::fs::write(&key, one.signing_key.serialize_pem()).unwrap();
        let options = TlsOptions::default().ca(&certificate).identity(&certificate, &key);
        read(&options).unwrap();
        std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
        let error = read(&options).unwrap_err();
        assert!(error.to_string().contains("k.pem") && error.to_string().contains("pair"), "{error}");
    }
}
