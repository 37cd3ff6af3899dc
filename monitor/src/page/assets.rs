//! The files of the page, as they are in `assets/`.

/// A file.
#[derive(Debug)]
pub(super) struct Asset {
    /// Path in a request.
    pub(super) path: &'static str,
    /// Media type.
    pub(super) content_type: &'static str,
    /// What is in it.
    pub(super) text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! asset {
    ($path:literal, $content_type:expr, $file:literal) => {
        Asset {
            path: $path,
            content_type: $content_type,
            text: include_str!(concat!("assets/", $file)),
        }
    };
}

/// All of them. Nothing else is served as a file, so no path leads anywhere else.
pub(super) const ASSETS: &[Asset] = &[
    asset!("/", HTML, "index.html"),
    asset!("/page.css", CSS, "page.css"),
    asset!("/panes.css", CSS, "panes.css"),
    asset!("/icon.svg", SVG, "icon.svg"),
    asset!("/main.js", JS, "main.js"),
    asset!("/dom.js", JS, "dom.js"),
    asset!("/state.js", JS, "state.js"),
    asset!("/filters.js", JS, "filters.js"),
    asset!("/link.js", JS, "link.js"),
    asset!("/health.js", JS, "health.js"),
    asset!("/live.js", JS, "live.js"),
    asset!("/alerts.js", JS, "alerts.js"),
    asset!("/identities.js", JS, "identities.js"),
    asset!("/map.js", JS, "map.js"),
    asset!("/matrix.js", JS, "matrix.js"),
    asset!("/detail.js", JS, "detail.js"),
    asset!("/copy.js", JS, "copy.js"),
];

/// The file at this path.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Markup is never made from text, nothing is inline, nothing comes from elsewhere.
    #[test]
    fn assets_keep_to_the_policy_they_are_sent_with() {
        for asset in ASSETS {
            for never in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "javascript:",
                "https://",
                "http://",
                "style=\"",
                " onclick=",
                "<style",
            ] {
                // Names of XML namespaces are no addresses to load from.
                let text = asset.text.replace("http://www.w3.org/", "");
                assert!(!text.contains(never), "{}: {never}", asset.path);
            }
        }
        let html = find("/").map_or("", |asset| asset.text);
        assert!(!html.contains("<script>") && html.contains("<html lang="));
    }

    /// A module that is imported or linked is there.
    #[test]
    fn what_is_named_is_served() {
        for asset in ASSETS {
            let names = asset.text.split(['"', '\'']).filter(|name| {
                name.strip_prefix("./")
                    .or_else(|| name.strip_prefix('/'))
                    .is_some_and(|name| {
                        [".js", ".css", ".svg"]
                            .iter()
                            .any(|end| name.ends_with(end))
                    })
            });
            for name in names {
                let path = format!("/{}", name.trim_start_matches("./").trim_start_matches('/'));
                assert!(find(&path).is_some(), "{} names {path}", asset.path);
            }
        }
    }
}
