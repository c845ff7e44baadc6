//! GET over HTTP or HTTPS: one connection for each request, every wait with a deadline.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::error::{Recovery, SourceError};

/// To reach the server, and TLS on top.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// To the head of the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// To the next bytes of the body.
const SILENCE: Duration = Duration::from_secs(30);

/// Where systems keep the authorities that they trust.
const SYSTEM_CA: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

#[derive(Debug, Clone)]
pub(super) struct Http {
    tls: Option<Arc<ClientConfig>>,
}

/// A URL without what may be secret in it.
pub(super) fn shown(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (url, _) = url.split_at(end);
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)))
    {
        Some((scheme, rest)) => format!("{scheme}://{rest}"),
        None => url.to_owned(),
    }
}

fn stop(place: &str, doing: &'static str, reason: String) -> SourceError {
    SourceError::Archive { place: shown(place), doing, reason, recovery: Recovery::Stop }
}

impl Http {
    /// Certificates are looked at, always. Where a system has no authorities, only HTTP works unless
    /// `ca` names some.
    pub(super) fn new(endpoint: &str, ca: Option<&Path>) -> Result<Self, SourceError> {
        let system = || SYSTEM_CA.iter().map(PathBuf::from).find(|path| path.is_file());
        let Some(path) = ca.map(Path::to_owned).or_else(system) else {
            return Ok(Self { tls: None });
        };
        let fault =
            |reason: String| stop(endpoint, "set up TLS", format!("{}: {reason}", path.display()));
        let mut roots = RootCertStore::empty();
        for certificate in
            CertificateDer::pem_file_iter(&path).map_err(|error| fault(error.to_string()))?
        {
            let certificate = certificate.map_err(|error| fault(error.to_string()))?;
            // A system's list may hold one that is too old to be understood.
            if let (Err(error), Some(_)) = (roots.add(certificate), ca) {
                return Err(fault(error.to_string()));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Some(Arc::new(config)) })
    }

    /// Sends a GET; the head of the answer is there.
    pub(super) async fn get(&self, url: &str, doing: &'static str) -> Result<Answer, SourceError> {
        let place = shown(url);
        let again = |reason: String| SourceError::Archive {
            place: place.clone(),
            doing,
            reason,
            recovery: Recovery::Retry,
        };
        let uri: Uri = url.parse().map_err(|_| stop(url, doing, "no URL".to_owned()))?;
        let host = uri.host().ok_or_else(|| stop(url, doing, "no host in the URL".to_owned()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(stop(url, doing, "only https:// and http:// are known".to_owned())),
        };
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let connect = async {
            let tcp = TcpStream::connect((host.as_str(), port))
                .await
                .map_err(|e| again(e.to_string()))?;
            if !is_tls {
                return open(tcp).await.map_err(again);
            }
            let config = self.tls.clone().ok_or_else(|| {
                stop(url, doing, "no trusted authorities on this system: name a file".to_owned())
            })?;
            let name = ServerName::try_from(host.clone())
                .map_err(|_| stop(url, doing, "no host name".to_owned()))?;
            match TlsConnector::from(config).connect(name, tcp).await {
                Ok(stream) => open(stream).await.map_err(again),
                // What rustls itself objects to.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    Err(stop(url, doing, format!("TLS: {error}")))
                }
                Err(error) => Err(again(error.to_string())),
            }
        };
        let late = |limit: Duration| again(format!("no answer within {} s", limit.as_secs()));
        let (mut sender, driver) = timeout(CONNECT_TIMEOUT, Box::pin(connect))
            .await
            .map_err(|_| late(CONNECT_TIMEOUT))??;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let authority = uri.authority().map_or("", hyper::http::uri::Authority::as_str);
        let request = Request::get(target)
            .header(HOST, authority)
            .header(USER_AGENT, "towpath")
            .body(Empty::new())
            .map_err(|error| stop(url, doing, error.to_string()))?;
        let response = timeout(ANSWER_TIMEOUT, sender.send_request(request))
            .await
            .map_err(|_| late(ANSWER_TIMEOUT))?
            .map_err(|error| again(said(&error)))?;
        Ok(Answer { response, place, doing, _driver: driver })
    }
}

/// An error of hyper with its causes.
fn said(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

type Sender = http1::SendRequest<Empty<Bytes>>;

async fn open(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<(Sender, JoinSet<()>), String> {
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| said(&error))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // What goes wrong there is told by the request.
        let _ended: bool = connection.await.is_ok();
    });
    Ok((sender, driver))
}

/// An answer whose body is still to come. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Answer {
    response: Response<Incoming>,
    place: String,
    doing: &'static str,
    _driver: JoinSet<()>,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(super) fn is_success(&self) -> bool {
        self.status() == 200
    }

    fn again(&self, reason: String) -> SourceError {
        let (place, doing) = (self.place.clone(), self.doing);
        SourceError::Archive { place, doing, reason, recovery: Recovery::Retry }
    }

    /// The next bytes of the body. An end before the length that was announced is an error.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        loop {
            let frame = timeout(SILENCE, self.response.body_mut().frame()).await;
            let frame = frame
                .map_err(|_| self.again(format!("nothing came for {} s", SILENCE.as_secs())))?;
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(error)) => return Err(self.again(said(&error))),
            }
        }
    }

    /// All of a short body.
    pub(super) async fn text(&mut self, limit: usize) -> Result<Vec<u8>, SourceError> {
        let mut text = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if text.len() + chunk.len() > limit {
                return Err(self.again(format!("the answer is longer than {limit} bytes")));
            }
            text.extend(chunk);
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// Certificates for `localhost`, for tests only.
    fn file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/tests/tls").join(name)
    }

    /// Answers every request with `hello`.
    async fn service() -> (SocketAddr, JoinSet<()>) {
        let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that does not trust it goes away.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
                stream.write_all(answer).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        (address, tasks)
    }

    /// Canal takes any certificate here.
    #[tokio::test(crate = "towpath_testkit")]
    async fn only_a_certificate_that_is_trusted_and_fits_is_accepted() {
        let (address, _tasks) = service().await;
        let ask = async |host: &str, ca: &str| {
            let url = format!("https://{host}:{}/x?Signature=secret", address.port());
            let http = Http::new(&url, Some(&file(ca)))?;
            http.get(&url, "ask").await?.text(100).await
        };
        assert_eq!(ask("localhost", "ca.pem").await.unwrap(), b"hello");
        for (host, ca) in [("localhost", "other.pem"), ("127.0.0.1", "ca.pem")] {
            let error = ask(host, ca).await.unwrap_err();
            assert_eq!(error.recovery(), Recovery::Stop);
            let said = error.to_string();
            assert!(said.contains("TLS: ") && !said.contains("secret"), "{said}");
        }
        assert!(ask("localhost", "none.pem").await.is_err());
    }

    #[test]
    fn links_are_shown_without_their_signature() {
        let link = "https://me:pw@oss.example.com/a/mysql-bin.000001?Expires=1&Signature=secret";
        assert_eq!(shown(link), "https://oss.example.com/a/mysql-bin.000001");
        assert_eq!(shown("nonsense"), "nonsense");
    }
}
