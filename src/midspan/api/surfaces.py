"""All surfaces that are part of every instance."""

from __future__ import annotations

from midspan.api.apikeys import key_routes
from midspan.api.attachment import attachment_routes
from midspan.api.attachmentattributes import attribute_routes
from midspan.api.catalog.routes import catalog_routes
from midspan.api.consent import ConsentPages
from midspan.api.explaining import explain_routes
from midspan.api.health import health_routes
from midspan.api.home import home_routes
from midspan.api.identity import identity_routes
from midspan.api.importmany import importmany_routes
from midspan.api.importset import importset_routes
from midspan.api.login import LoginPages
from midspan.api.meta import meta_routes
from midspan.api.oauth import OAuthEndpoints
from midspan.api.pages import page_routes
from midspan.api.processors import processor_routes
from midspan.api.router import Route, Turnstile
from midspan.api.schema import schema_routes
from midspan.api.sessions import Sessions
from midspan.api.setup import SetupPage
from midspan.api.stats import stats_routes
from midspan.api.table import table_routes
from midspan.api.tinyurl import tinyurl_routes
from midspan.api.tokens import Tokens


def routes(sessions: Sessions, tokens: Tokens, turns: Turnstile) -> tuple[Route, ...]:
    """Return the routes of the built-in surfaces."""
    oauth = OAuthEndpoints(tokens)
    return (
        *health_routes(),
        *SetupPage(sessions).routes(),
        *LoginPages(sessions).routes(),
        *oauth.routes(),
        *ConsentPages(oauth).routes(),
        *key_routes(),
        *home_routes(),
        *page_routes(),
        *table_routes(),
        *attachment_routes(),
        *attribute_routes(),
        *stats_routes(),
        *tinyurl_routes(),
        *schema_routes(),
        *meta_routes(),
        *identity_routes(),
        *explain_routes(),
        *processor_routes(turns),
        *catalog_routes(),
        *importset_routes(),
        *importmany_routes(),
    )
