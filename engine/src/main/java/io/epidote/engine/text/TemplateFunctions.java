package io.epidote.engine.text;

import com.hubspot.jinjava.objects.date.StrftimeFormatter;
import java.time.ZonedDateTime;

/** What Hugging Face lets chat templates call. Public because the template engine calls it. */
public final class TemplateFunctions {
  private TemplateFunctions() {}

  /** A template's own word that a conversation is not of a form that the model knows. */
  static final class Raised extends RuntimeException {
    private static final long serialVersionUID = 1L;

    Raised(String message) {
      super(message);
    }
  }

  public static String raiseException(Object message) {
    throw new Raised(String.valueOf(message));
  }

  public static String strftimeNow(Object format) {
    return StrftimeFormatter.format(ZonedDateTime.now(), String.valueOf(format));
  }
}
