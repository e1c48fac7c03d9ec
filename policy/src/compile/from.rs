//! One item of `from`.

use super::lists::{At, Fault, Report, among, among_expanded, first_given};
use super::meshes::Meshes;
use super::never::Never;
use crate::ip_block::{InvalidIpBlock, IpBlock};
use crate::pattern::Pattern;
use crate::principal::PrincipalPattern;
use crate::rule::{From, Namespaced, WithoutIdentity};
use crate::spec::{Action, FromSpec};
use crate::spiffe::is_path_character;

pub(super) fn compile(
    spec: &FromSpec,
    action: Action,
    at: &At<'_>,
    meshes: &Meshes,
    report: &mut Report,
) -> From {
    let FromSpec {
        meshes: any_mesh,
        not_meshes,
        trust_domains,
        not_trust_domains,
        namespaces,
        not_namespaces,
        service_accounts,
        not_service_accounts,
        principals,
        not_principals,
        ip_blocks,
        not_ip_blocks,
        plaintext,
        passthrough,
    } = spec;
    let before = report.len();
    let from = From {
        without_identity: without_identity(*plaintext, *passthrough, at, report),
        meshes: among_expanded(at, "meshes", (any_mesh, not_meshes), report, |text| {
            meshes.meshes_like(text)
        }),
        trust_domains: among(
            at,
            "trustDomains",
            (trust_domains, not_trust_domains),
            report,
            |text| meshes.trust_domain_like(text),
        ),
        namespaces: among(
            at,
            "namespaces",
            (namespaces, not_namespaces),
            report,
            namespace,
        ),
        service_accounts: among(
            at,
            "serviceAccounts",
            (service_accounts, not_service_accounts),
            report,
            |text| namespaced(text, "web/frontend"),
        ),
        principals: among(
            at,
            "principals",
            (principals, not_principals),
            report,
            |text| principal(text, action, meshes),
        ),
        ip_blocks: among(at, "ipBlocks", (ip_blocks, not_ip_blocks), report, ip_block),
    };
    check_item(spec, &from, at, report);
    if report.len() == before {
        Never { at, action, report }.from(spec, &from, meshes);
    }
    from
}

fn without_identity(
    plaintext: Option<bool>,
    passthrough: Option<bool>,
    at: &At<'_>,
    report: &mut Report,
) -> Option<WithoutIdentity> {
    for (name, value) in [("plaintext", plaintext), ("passthrough", passthrough)] {
        if value == Some(false) {
            let mend = "leave it out: an ALLOW never matches such a source unless it says true";
            report.shown(&at.then(name), "false", "only true can be written", mend);
        }
    }
    match (plaintext, passthrough) {
        (Some(true), Some(true)) => {
            let mend = "write two items: {plaintext: true} and {passthrough: true}";
            report.problem(at, "no source is both plaintext and passthrough", mend);
            None
        }
        (Some(true), _) => Some(WithoutIdentity::Plaintext),
        (_, Some(true)) => Some(WithoutIdentity::Passthrough),
        _ => None,
    }
}

/// What concerns an item as a whole.
fn check_item(spec: &FromSpec, from: &From, at: &At<'_>, report: &mut Report) {
    let by_name = [
        ("namespaces", &spec.namespaces),
        ("notNamespaces", &spec.not_namespaces),
        ("serviceAccounts", &spec.service_accounts),
        ("notServiceAccounts", &spec.not_service_accounts),
    ];
    let by_identity = [
        ("meshes", &spec.meshes),
        ("notMeshes", &spec.not_meshes),
        ("trustDomains", &spec.trust_domains),
        ("notTrustDomains", &spec.not_trust_domains),
        ("principals", &spec.principals),
        ("notPrincipals", &spec.not_principals),
    ];
    let named = first_given(&by_name);
    let identified = named.or_else(|| first_given(&by_identity));
    let alone = spec.plaintext.is_none() && spec.passthrough.is_none();
    if identified.is_none() && !from.ip_blocks.is_given() && alone {
        let mend = "write {meshes: [\"*\"]} for every listed mesh; to match every source, a DENY or AUDIT leaves from out";
        report.problem(at, "the item is empty", mend);
    }
    if let (Some((field, values)), Some(_)) = (identified, from.without_identity) {
        let mend = "write an item of its own for plaintext or passthrough, with ipBlocks at most";
        report.list(
            &at.then(field),
            values,
            "a source without an identity has none",
            mend,
        );
    } else if let Some((field, values)) = named
        && from.meshes.any.is_none()
        && from.trust_domains.any.is_none()
    {
        report.list(
            &at.then(field),
            values,
            "this says nothing without a mesh: every trust domain can have such names",
            "write meshes or trustDomains in the same item",
        );
    }
}

/// A pattern for a namespace or an account: one path segment of a SPIFFE ID.
pub(super) fn segment(text: &str) -> Result<Pattern, Fault> {
    let pattern = Pattern::parse(text).map_err(|why| Fault::new(why, why.mend()))?;
    match pattern.fixed().chars().find(|c| !is_path_character(*c)) {
        None => Ok(pattern),
        Some(c) => Err(Fault::new(
            format!("no name has {c:?}, it would never match"),
            "write a-z, A-Z, 0-9, '.', '-' and '_' only",
        )),
    }
}

pub(super) fn namespace(text: &str) -> Result<Pattern, Fault> {
    if text.contains('/') {
        return Err(Fault::new(
            "a namespace has no '/'",
            "write the namespace alone here",
        ));
    }
    segment(text)
}

pub(super) fn namespaced(text: &str, example: &str) -> Result<Namespaced, Fault> {
    let mend = || format!("write namespace/name, such as {example}; each may be a pattern");
    let Some((namespace, name)) = text.split_once('/') else {
        return Err(Fault::new("the namespace is missing", mend()));
    };
    if namespace.is_empty() || name.is_empty() || name.contains('/') {
        return Err(Fault::new("it is not namespace/name", mend()));
    }
    Ok(Namespaced {
        namespace: segment(namespace)?,
        name: segment(name)?,
    })
}

fn principal(text: &str, action: Action, meshes: &Meshes) -> Result<PrincipalPattern, Fault> {
    let pattern = PrincipalPattern::parse(text).map_err(|why| Fault::new(why, why.mend()))?;
    if action == Action::Allow
        && !pattern.is_exact()
        && meshes.of_trust_domain(pattern.trust_domain()).is_none()
    {
        return Err(Fault::new(
            format!("no mesh lists the trust domain {}", pattern.trust_domain()),
            "list it under meshes, or write one exact principal",
        ));
    }
    Ok(pattern)
}

fn ip_block(text: &str) -> Result<IpBlock, Fault> {
    IpBlock::parse(text).map_err(|why| {
        let mend = match why {
            InvalidIpBlock::HostBits => {
                "write the block's first address, or the address alone for just one"
            }
            InvalidIpBlock::Mapped => "write it as IPv4, such as 10.0.0.0/8",
            InvalidIpBlock::Address | InvalidIpBlock::Prefix(_) => {
                "write 192.0.2.0/24, 2001:db8::/32 or one address"
            }
        };
        Fault::new(why, mend)
    })
}
