//! Small word lists of the planted texts. Order and contents are part of what a seed means.

/// Trades, as they stand in a firm's domain.
pub(super) const TRADES: &[&str] = &[
    "legal", "bau", "logistik", "dental", "optik", "travel", "studio", "partners", "energy", "foods", "metall",
    "medical", "print", "consult", "immo", "garden",
];

/// Legal forms of firms.
pub(super) const FORMS: &[&str] = &["GmbH", "Ltd", "S.L.", "SARL", "KG", "Partners", "& Sons"];

/// What the user's firm does for its clients.
pub(super) const SERVICES: &[&str] = &[
    "annual maintenance of the cooling plant",
    "translation of the product catalogue",
    "payroll accounting for the business year",
    "lease of the storage hall at the east gate",
    "inspection of the electrical installations",
    "delivery of office furniture for two floors",
    "valuation of the estate and its inventory",
    "supply of laboratory equipment",
];

/// Streets.
pub(super) const STREETS: &[&str] = &[
    "Lindenallee",
    "Mill Lane",
    "Calle Mayor",
    "Rue des Tanneurs",
    "Hafenstrasse",
    "Station Road",
    "Bergweg",
    "Rue du Marche",
    "Calle del Olmo",
    "Church Street",
];

/// Towns.
pub(super) const TOWNS: &[&str] =
    &["Bremen", "Leeds", "Girona", "Nantes", "Kassel", "Exeter", "Burgos", "Dijon", "Jena", "York"];

/// First parts of names of sites and services that a client's staff would use.
pub(super) const SITES: &[&str] = &[
    "portal", "bank", "mail", "intranet", "billing", "crm", "payroll", "clinic", "health", "tickets", "vpn", "wiki",
    "travel", "shop", "files", "partners",
];

/// Pages of such sites.
pub(super) const PAGES: &[&str] =
    &["account/statement", "inbox", "orders", "patients/record", "case", "invoice", "profile", "search"];

/// Shell commands that mean nothing.
pub(super) const COMMANDS: &[&str] = &[
    "ls -la",
    "cd ~/Documents",
    "git status",
    "git pull --rebase",
    "df -h",
    "top",
    "htop",
    "make test",
    "vim notes.txt",
    "sudo apt update",
    "sudo apt upgrade",
    "history | tail",
    "cd ..",
    "ps aux | grep python",
    "du -sh *",
    "man tar",
];
