package io.epidote.router.request;

/**
 * A validated request; both front doors make it.
 *
 * @param id names the request in Abort and in logs
 * @param model the served model's name, perhaps with that of an adapter behind a colon; or empty
 *     for the model without an adapter
 * @param choices answers to generate, 1 to {@link #MAX_CHOICES}; answer i uses the seed plus i
 * @param salt whose cached prompts it may find
 * @param slo how fast it should be answered
 * @param tenant for whom it is; empty for the default one
 * @param priority less is earlier among the tenant's
 */
public record GenerationRequest(
    String id,
    String model,
    PromptInput prompt,
    Sampling sampling,
    int choices,
    CacheSalt salt,
    Slo slo,
    String tenant,
    int priority) {
  /** Most answers to one prompt. */
  public static final int MAX_CHOICES = 8;

  /** Between the names of model and adapter. */
  public static final char ADAPTER = ':';

  /** Whether the request is for a model of that name, with or without an adapter. */
  boolean isFor(String name) {
    return model.isEmpty()
        || model.equals(name)
        || (model.startsWith(name + ADAPTER) && model.length() > name.length() + 1);
  }

  /** The same request to another model or adapter. */
  GenerationRequest withModel(String other) {
    return new GenerationRequest(id, other, prompt, sampling, choices, salt, slo, tenant, priority);
  }

  /** The same request that finds its own tenant's cached prompts only. */
  GenerationRequest apart() {
    return new GenerationRequest(
        id, model, prompt, sampling, choices, salt.within(tenant), slo, tenant, priority);
  }

  /** The same request for another tenant. */
  public GenerationRequest withTenant(String other) {
    return new GenerationRequest(id, model, prompt, sampling, choices, salt, slo, other, priority);
  }

  /**
   * What the answer says of its model.
   *
   * @param name of the model
   */
  public String shownModel(String name) {
    return model.isEmpty() ? name : model;
  }

  /**
   * The adapter's name, empty for none.
   *
   * @param name of the model, which the request {@link #isFor}
   */
  String adapter(String name) {
    return model.length() > name.length() ? model.substring(name.length() + 1) : "";
  }
}
