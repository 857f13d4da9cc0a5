package io.epidote.router.request;

/**
 * A validated request; both front doors make it.
 *
 * @param id names the request in Abort and in logs
 * @param model the served model's name, or empty for the only one
 * @param choices answers to generate, 1 to 8; answer i uses the seed plus i
 * @param salt whose cached prompts it may find
 * @param slo how fast it should be answered
 */
public record GenerationRequest(
    String id,
    String model,
    PromptInput prompt,
    Sampling sampling,
    int choices,
    CacheSalt salt,
    Slo slo) {}
