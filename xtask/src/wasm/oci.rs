//! The filter as an OCI image layout (<https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>), in the
//! form that Istio's agent calls compat: the last layer is a gzipped tar, and in it lies `plugin.wasm`
//! (`pkg/wasm/imagefetcher.go` of Istio; the form is that of <https://github.com/solo-io/wasm/blob/master/spec/spec-compat.md>).
//!
//! The same module gives the same bytes, on every machine: no time, no user and no compiler of this machine is in it. So
//! the digest that a WasmPlugin names can be worked out again by whoever builds the same source.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Where Istio's agent looks for the module.
const FILE: &str = "plugin.wasm";

/// What marks a folder as an image layout.
const MARK: &str = "oci-layout";

/// Writes the layout of an image with this module; the manifest's digest in hexadecimal, as WasmPlugin's `sha256` has it.
pub(super) fn write(folder: &Path, module: &[u8]) -> Result<String> {
    make_empty(folder)?;
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).with_context(|| format!("creating {}", blobs.display()))?;

    let archive = tar(FILE, module)?;
    let layer = add(&blobs, LAYER, &gzip(&archive)?)?;
    let config = json!({
        // It runs on no machine's processor, and under no operating system.
        "architecture": "wasm",
        "os": "unknown",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest(&archive)]},
    });
    let config = add(&blobs, CONFIG, config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [layer],
        "annotations": {
            "org.opencontainers.image.title": "crossmesh-filter",
            "org.opencontainers.image.description": "The cross-mesh policy in every Envoy sidecar: a proxy-wasm filter for HTTP and TCP",
            "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
    });
    let mut manifest = add(&blobs, MANIFEST, manifest.to_string().as_bytes())?;
    let digest = manifest["digest"].as_str().unwrap_or_default();
    let hexadecimal = digest.trim_start_matches("sha256:").to_owned();
    manifest["annotations"] =
        json!({"org.opencontainers.image.ref.name": env!("CARGO_PKG_VERSION")});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]});
    put(&folder.join("index.json"), index.to_string().as_bytes())?;
    // Last: only a whole layout is marked as one.
    put(&folder.join(MARK), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(hexadecimal)
}

/// Removes an earlier layout. Nothing else is removed.
fn make_empty(folder: &Path) -> Result<()> {
    if folder.join(MARK).is_file() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let is_empty = fs::read_dir(folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .next()
        .is_none();
    ensure!(
        is_empty,
        "{} holds something that is no image layout; name a folder that is empty, or does not exist",
        folder.display()
    );
    Ok(())
}

/// Adds a blob; its descriptor.
fn add(blobs: &Path, media_type: &str, bytes: &[u8]) -> Result<Value> {
    let digest = digest(bytes);
    put(&blobs.join(digest.trim_start_matches("sha256:")), bytes)?;
    Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

fn digest(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Without a name or a time; the compressor is a pinned crate, not the machine's.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

/// An archive of one file, readable for everybody, owned by root, of 1970 (POSIX.1-1988 ustar).
fn tar(name: &str, content: &[u8]) -> Result<Vec<u8>> {
    const BLOCK: usize = 512;
    let mut header = [0_u8; BLOCK];
    let size = format!("{:011o}", content.len());
    let fields: [(usize, &[u8]); 9] = [
        (0, name.as_bytes()),
        (100, b"0000644"),
        (108, b"0000000"),
        (116, b"0000000"),
        (124, size.as_bytes()),
        (136, b"00000000000"),
        // While the sum is taken its own field is spaces.
        (148, b"        "),
        (156, b"0"),
        (257, b"ustar\x0000"),
    ];
    for (at, field) in fields {
        let place = header.get_mut(at..at + field.len());
        place
            .context("a field of tar's header")?
            .copy_from_slice(field);
    }
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    let sum = format!("{sum:06o}\0 ");
    let place = header.get_mut(148..156).context("tar's checksum")?;
    place.copy_from_slice(sum.as_bytes());

    let mut archive = header.to_vec();
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    // Two empty blocks end it.
    archive.resize(archive.len() + 2 * BLOCK, 0);
    Ok(archive)
}

#[cfg(test)]
mod tests;
