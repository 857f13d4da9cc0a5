package io.epidote.router.openai;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.error.EpidoteException;
import io.epidote.router.request.InvalidField;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/**
 * An error as OpenAI's clients read it. The one place where {@link EpidoteException} becomes HTTP.
 *
 * @param param the JSON path of the field at fault, or null
 * @param retryAfter seconds after which it is worth to try again, where {@link #mayRetry}
 */
record HttpError(
    HttpResponseStatus status,
    String message,
    String type,
    @Nullable String param,
    String code,
    String retryAfter) {
  private static final String INVALID = "invalid_request_error";

  private static final String SOON = "1";

  HttpError(
      HttpResponseStatus status, String message, String type, @Nullable String param, String code) {
    this(status, message, type, param, code, SOON);
  }

  static HttpError of(EpidoteException error) {
    String message = String.valueOf(error.getMessage());
    return switch (error) {
      case EpidoteException.InvalidRequest e when e.getCause() instanceof InvalidField field ->
          field(field);
      case EpidoteException.InvalidRequest e -> badRequest(message, "invalid_request");
      case EpidoteException.TooLarge e ->
          new HttpError(
              HttpResponseStatus.REQUEST_ENTITY_TOO_LARGE, message, INVALID, null, "too_large");
      case EpidoteException.NotFound e ->
          new HttpError(HttpResponseStatus.NOT_FOUND, message, INVALID, "model", "model_not_found");
      case EpidoteException.Unauthenticated e ->
          new HttpError(
              HttpResponseStatus.UNAUTHORIZED,
              message,
              "authentication_error",
              null,
              "invalid_api_key");
      case EpidoteException.Forbidden e ->
          new HttpError(
              HttpResponseStatus.FORBIDDEN, message, "permission_error", null, "forbidden");
      case EpidoteException.Exhausted e ->
          new HttpError(
              HttpResponseStatus.TOO_MANY_REQUESTS,
              message,
              "rate_limit_error",
              null,
              "busy",
              Long.toString(e.retryAfterSeconds()));
      case EpidoteException.Unavailable e ->
          new HttpError(
              HttpResponseStatus.SERVICE_UNAVAILABLE,
              message,
              "service_unavailable_error",
              null,
              "unavailable");
      case EpidoteException.BadCheckpoint e -> internal(message);
      case EpidoteException.Internal e -> internal(message);
    };
  }

  static HttpError field(InvalidField error) {
    return new HttpError(
        HttpResponseStatus.BAD_REQUEST,
        String.valueOf(error.getMessage()),
        INVALID,
        error.path(),
        "invalid_value");
  }

  static HttpError badRequest(String message, String code) {
    return new HttpError(HttpResponseStatus.BAD_REQUEST, message, INVALID, null, code);
  }

  static HttpError internal(String message) {
    return new HttpError(
        HttpResponseStatus.INTERNAL_SERVER_ERROR, message, "internal_error", null, "internal");
  }

  static HttpError noSuchPath(String path) {
    return new HttpError(
        HttpResponseStatus.NOT_FOUND,
        "There is nothing at %s; this router has /v1/chat/completions, /v1/completions, /v1/models, /tokenize, /detokenize, /healthz, /readyz and /metrics."
            .formatted(path.length() > 200 ? path.substring(0, 200) + "…" : path),
        INVALID,
        null,
        "not_found");
  }

  static HttpError wrongMethod(String method, String path, String allowed) {
    return new HttpError(
        HttpResponseStatus.METHOD_NOT_ALLOWED,
        "%s is not possible at %s; use %s.".formatted(method, path, allowed),
        INVALID,
        null,
        "method_not_allowed");
  }

  static HttpError tooLarge(long limit) {
    return new HttpError(
        HttpResponseStatus.REQUEST_ENTITY_TOO_LARGE,
        "The body is larger than %d bytes, the most that this router takes; send fewer or smaller pictures."
            .formatted(limit),
        INVALID,
        null,
        "too_large");
  }

  static HttpError tooSlow() {
    return new HttpError(
        HttpResponseStatus.REQUEST_TIMEOUT,
        "The request came too slowly to be waited for; send it again, at once.",
        INVALID,
        null,
        "timeout");
  }

  static HttpError busyReceiving() {
    return of(
        new EpidoteException.Exhausted(
            "The router is receiving as many bytes as it can hold; try again after the time that the response names."));
  }

  /** Whether the same request may succeed a little later. */
  boolean mayRetry() {
    return status.equals(HttpResponseStatus.TOO_MANY_REQUESTS)
        || status.equals(HttpResponseStatus.SERVICE_UNAVAILABLE);
  }

  ObjectNode json() {
    ObjectNode root = JsonNodeFactory.instance.objectNode();
    root.putObject("error")
        .put("message", message)
        .put("type", type)
        .put("param", param)
        .put("code", code);
    return root;
  }

  byte[] bytes() {
    return json().toString().getBytes(StandardCharsets.UTF_8);
  }
}
