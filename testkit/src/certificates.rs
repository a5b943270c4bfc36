//! Certificates for tests of TLS, made anew each time.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// A CA and what it has issued, as PEM files in a folder of their own. Clones are the same.
///
/// ```no_run
/// use rdts_testkit::{Certificates, Server};
///
/// let certificates = Certificates::new();
/// let server = Server::builder("redis-7.0").tls(&certificates).start();
/// println!("{}", server.tls_url());
/// ```
#[derive(Clone)]
pub struct Certificates {
    dir: Arc<TempDir>,
    issuer: Arc<CertifiedIssuer<'static, KeyPair>>,
}

/// What a server needs of them.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    /// They stay as long as the server.
    _dir: Arc<TempDir>,
    pub(crate) ca: PathBuf,
    pub(crate) own: Pair,
    /// For who connects to it.
    pub(crate) url_options: String,
}

/// The files of a certificate and of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Certificates {
    /// A new CA, with certificates of a server that is called `127.0.0.1` and `localhost`, and of a client.
    ///
    /// # Panics
    /// When the files cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("rdts-certificates-").expect("a temporary folder can be made");
        // Each of another name: two CAs of the same are told apart only by their signatures, which gives other errors.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mut params = params(&format!("the CA {} of a test", NUMBER.fetch_add(1, Ordering::Relaxed)), &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        let ca = CertifiedIssuer::self_signed(params, key).expect("a CA can be made");
        fs::write(dir.path().join("ca.pem"), ca.pem()).expect("the temporary folder is writable");
        let all = Self { dir: Arc::new(dir), issuer: Arc::new(ca) };
        all.issue("server", params_of_server());
        all.issue("client", params_of_client());
        all
    }

    /// The CA's certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir().join("ca.pem")
    }

    /// A server's at `127.0.0.1` and `localhost`.
    #[must_use]
    pub fn server(&self) -> Pair {
        self.pair("server")
    }

    /// A client's.
    #[must_use]
    pub fn client(&self) -> Pair {
        self.pair("client")
    }

    /// As [`server`](Self::server), but expired since 2020.
    #[must_use]
    pub fn expired_server(&self) -> Pair {
        let mut params = params_of_server();
        params.not_after = date_time_ymd(2020, 1, 1);
        self.issue("expired-server", params)
    }

    /// As [`client`](Self::client), but expired since 2020.
    #[must_use]
    pub fn expired_client(&self) -> Pair {
        let mut params = params_of_client();
        params.not_after = date_time_ymd(2020, 1, 1);
        self.issue("expired-client", params)
    }

    /// A server's that is called `elsewhere.example`.
    #[must_use]
    pub fn server_elsewhere(&self) -> Pair {
        let mut params = params("elsewhere", &["elsewhere.example"]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.issue("server-elsewhere", params)
    }

    /// `ca=PATH&cert=PATH&key=PATH`, as the options of a URL.
    #[must_use]
    pub fn url_options(&self) -> String {
        let client = self.client();
        let text = |path: &Path| path.to_str().expect("the path of a temporary folder is a text").to_owned();
        format!("ca={}&cert={}&key={}", text(&self.ca()), text(&client.certificate), text(&client.key))
    }

    pub(crate) fn to_server(&self, own: Pair) -> Issued {
        Issued { _dir: self.dir.clone(), ca: self.ca(), own, url_options: self.url_options() }
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn pair(&self, name: &str) -> Pair {
        Pair { certificate: self.dir().join(format!("{name}.pem")), key: self.dir().join(format!("{name}.key")) }
    }

    fn issue(&self, name: &str, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &*self.issuer).expect("a certificate can be made");
        let pair = self.pair(name);
        fs::write(&pair.certificate, certificate.pem()).expect("the temporary folder is writable");
        fs::write(&pair.key, key.serialize_pem()).expect("the temporary folder is writable");
        pair
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.dir()).finish()
    }
}

fn params(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("these are names");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Servers connect to each other as well: the nodes of a cluster, replicas, Sentinels.
fn params_of_server() -> CertificateParams {
    let mut params = params("server", &["127.0.0.1", "localhost"]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn params_of_client() -> CertificateParams {
    let mut params = params("client", &[]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}
