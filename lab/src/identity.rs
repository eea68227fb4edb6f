//! The keys and certificates of one cluster, made anew for each lab.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::error::{LabError, file};
use crate::network::{APISERVER_PORT, BRIDGE_ADDRESS, KUBERNETES_SERVICE, NODE_ADDRESS};
use crate::paths::Paths;
use crate::template;

/// Members of it may do anything (Kubernetes, "User-facing roles").
const ADMINISTRATORS: &str = "system:masters";

/// The files of a cluster's keys and certificates, PEM.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    directory: PathBuf,
}

impl Identity {
    pub(crate) fn of(paths: &Paths) -> Self {
        Self { directory: paths.at("pki") }
    }

    pub(crate) fn at(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// Makes all of it, and the administrator's kubeconfig.
    pub(crate) fn create(&self, paths: &Paths) -> Result<(), LabError> {
        std::fs::create_dir_all(&self.directory).map_err(file("create", &self.directory))?;
        let authority = self.authority()?;
        let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let addresses = [[127, 0, 0, 1].into(), NODE_ADDRESS, BRIDGE_ADDRESS, KUBERNETES_SERVICE];
        let reached_as = names.map(str::to_owned).into_iter().chain(addresses.map(|a| a.to_string()));
        let mut server = CertificateParams::new(reached_as.collect::<Vec<_>>())?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign("apiserver", server, &authority)?;

        let mut administrator = CertificateParams::new(Vec::new())?;
        administrator.distinguished_name.push(DnType::OrganizationName, ADMINISTRATORS);
        administrator.distinguished_name.push(DnType::CommonName, "admin");
        administrator.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign("admin", administrator, &authority)?;

        let service_accounts = KeyPair::generate()?;
        write(&self.at("service-accounts.key"), &service_accounts.serialize_pem())?;
        write(&self.at("service-accounts.pub"), &service_accounts.public_key_pem())?;
        self.write_kubeconfig(&paths.kubeconfig())
    }

    fn authority(&self) -> Result<Issuer<'static, KeyPair>, LabError> {
        let key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "canary-lab");
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        self.write_pair("ca", &authority.self_signed(&key)?, &key)?;
        Ok(Issuer::new(authority, key))
    }

    fn sign(
        &self,
        name: &str,
        certificate: CertificateParams,
        authority: &Issuer<'static, KeyPair>,
    ) -> Result<(), LabError> {
        let key = KeyPair::generate()?;
        self.write_pair(name, &certificate.signed_by(&key, authority)?, &key)
    }

    fn write_pair(&self, name: &str, certificate: &Certificate, key: &KeyPair) -> Result<(), LabError> {
        write(&self.at(&format!("{name}.crt")), &certificate.pem())?;
        write(&self.at(&format!("{name}.key")), &key.serialize_pem())
    }

    fn write_kubeconfig(&self, path: &Path) -> Result<(), LabError> {
        let text = template::fill(
            include_str!("../templates/kubeconfig.yaml"),
            &[
                ("SERVER", &format!("https://{NODE_ADDRESS}:{APISERVER_PORT}")),
                ("CA", &self.at("ca.crt").display()),
                ("CERTIFICATE", &self.at("admin.crt").display()),
                ("KEY", &self.at("admin.key").display()),
            ],
        );
        write(path, &text)
    }
}

/// Keys are nobody else's to read.
fn write(path: &Path, text: &str) -> Result<(), LabError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let opened = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    opened.and_then(|mut opened| opened.write_all(text.as_bytes())).map_err(file("write", path))
}
