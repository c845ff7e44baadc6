//! TLS, through something that ends it before the server. The certificates are for tests only.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use towpath_client::{Cause, Client, Recovery, Tls};

use crate::alone::{next, numbers};
use crate::fixture::{Served, numbered};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// Ends TLS before a server; its port.
async fn terminator(server: std::net::SocketAddr) -> (u16, JoinSet<()>) {
    let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not accept the certificate goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut to_server = TcpStream::connect(server).await.unwrap();
            let _ended: bool =
                tokio::io::copy_bidirectional(&mut stream, &mut to_server).await.is_ok();
        }
    });
    (port, tasks)
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_server_behind_tls_is_followed_and_another_is_not_trusted() {
    let (served, _directory) = Served::new().await;
    let (port, _tasks) = terminator(served.address).await;
    let builder = |host: &str| Client::builder().server(&format!("{host}:{port}"));
    let tls = Tls::trusting(&file("ca.pem")).unwrap();
    let named = tls.clone().server_name("canal.test").unwrap();
    for builder in [builder("localhost").tls(tls.clone()), builder("127.0.0.1").tls(named)] {
        let mut connection = builder.build().unwrap().connect().await.unwrap();
        served.push(numbered(1)).await;
        let batch = next(&mut connection).await;
        assert_eq!(numbers(&batch), [1]);
        batch.ack().await.unwrap();
        connection.close().await;
    }

    let other = Tls::trusting(&file("other.pem")).unwrap();
    let wrong_name = tls.clone().server_name("elsewhere.test").unwrap();
    for (tls, expected) in [(other, "UnknownIssuer"), (wrong_name, "elsewhere.test")] {
        let client = builder("localhost").tls(tls).build().unwrap();
        let error = client.connect().await.unwrap_err();
        assert_eq!((error.cause(), error.recovery()), (Cause::Tls, Recovery::Stop), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    // A server that does not speak it.
    let client = Client::builder()
        .server(&format!("localhost:{}", served.address.port()))
        .tls(tls)
        .wait(Duration::ZERO)
        .build()
        .unwrap();
    let error = client.connect().await.unwrap_err();
    assert_eq!(error.cause(), Cause::Tls, "{error}");
    served.stop().await.unwrap();
}

#[test]
fn files_without_a_certificate_are_refused() {
    for name in ["server.key", "nothing.pem"] {
        let error = Tls::trusting(&file(name)).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}
