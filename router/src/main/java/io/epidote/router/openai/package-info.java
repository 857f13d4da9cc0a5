/**
 * The OpenAI HTTP front door on Netty: connections, JSON in, JSON and server-sent events out. Event
 * loops only move bytes; bodies are parsed on virtual threads.
 */
@NullMarked
package io.epidote.router.openai;

import org.jspecify.annotations.NullMarked;
