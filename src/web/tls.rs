//! The certificate of a server that speaks TLS itself. It may be renewed while the server runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::listen::ListenError;
use super::site::locked;

/// A certificate with its chain and its key, in files that are read again after they have changed.
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    /// Called when changed files cannot be used.
    problem: fn(&ListenError),
    current: Mutex<Current>,
}

/// Times and lengths of both files, as far as they are there.
type Stamp = [Option<(SystemTime, u64)>; 2];

struct Current {
    config: Arc<ServerConfig>,
    /// The files when they were read last.
    read: Stamp,
}

impl Certificate {
    /// Reads a certificate with its chain, and its key, from files in PEM. `problem` is called when
    /// renewed files cannot be used; the server then keeps the last ones.
    pub fn read(
        certificate: &Path,
        key: &Path,
        problem: fn(&ListenError),
    ) -> Result<Certificate, ListenError> {
        let read = stamp(certificate, key);
        let config = config(certificate, key)?;
        Ok(Certificate {
            certificate: certificate.to_path_buf(),
            key: key.to_path_buf(),
            problem,
            current: Mutex::new(Current { config, read }),
        })
    }

    /// Returns the settings for the next connection.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        locked(&self.current).config.clone()
    }

    /// Reads the files again if they have changed.
    pub(super) fn renew(&self) {
        // Before the files, so that a change while they are read counts as a later one.
        let now = stamp(&self.certificate, &self.key);
        if now == locked(&self.current).read {
            return;
        }
        let renewed = config(&self.certificate, &self.key);
        let mut current = locked(&self.current);
        current.read = now;
        match renewed {
            Ok(config) => current.config = config,
            Err(e) => {
                drop(current);
                (self.problem)(&e);
            }
        }
    }
}

fn stamp(certificate: &Path, key: &Path) -> Stamp {
    [certificate, key].map(|file| {
        let facts = fs::metadata(file).ok()?;
        Some((facts.modified().ok()?, facts.len()))
    })
}

fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, ListenError> {
    let failed = |why: String| ListenError::Certificate {
        certificate: certificate.display().to_string(),
        key: key.display().to_string(),
        why,
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| failed(e.to_string()))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| failed(e.to_string()))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, secret)
        });
    let mut config = config.map_err(|e| failed(e.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
