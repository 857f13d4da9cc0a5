package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;

/**
 * A field of a request that its caller must change. Kept apart from {@link
 * EpidoteException.InvalidRequest} because OpenAI's errors name the field beside the message.
 */
public final class InvalidField extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final String path;

  /**
   * @param path where the field is, for example {@code messages[0].content}
   * @param problem what is wrong with it, what was expected and what to do
   */
  public InvalidField(String path, String problem) {
    super(path + ": " + problem);
    this.path = path;
  }

  public String path() {
    return path;
  }

  /** The same for callers that are told a message only. */
  public EpidoteException toException() {
    return new EpidoteException.InvalidRequest(String.valueOf(getMessage()), this);
  }
}
