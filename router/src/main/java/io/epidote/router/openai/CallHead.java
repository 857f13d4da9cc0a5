package io.epidote.router.openai;

import io.epidote.router.request.CacheSalt;
import io.epidote.router.request.Slo;

/**
 * What a call's headers say.
 *
 * @param id of the request
 * @param salt whose cached prompts it may find
 * @param slo how fast it should be answered
 * @param tenant for whom it is
 */
record CallHead(String id, CacheSalt salt, Slo slo, String tenant) {}
