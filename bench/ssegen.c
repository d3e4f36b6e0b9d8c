/* ssegen: an upstream that costs next to nothing, so that a benchmark measures the proxy in front of it.
 *
 *     ssegen [-p PORT] [-n EVENTS] [-i MICROSECONDS] [-s BYTES]
 *
 * It listens on 127.0.0.1:PORT (0, the default, takes a free one) and prints the port. A POST whose body asks for a
 * stream is answered with EVENTS deltas (100), one every MICROSECONDS (0: each in a write of its own, as fast as the
 * socket takes them) and each with BYTES of filler (40); any other POST is answered with one short message. A query of
 * "events=N" or "interval=MICROSECONDS" counts more than the option, so that one upstream serves every measurement.
 * Paths that end in /chat/completions are answered in OpenAI's dialect, all others in Anthropic's.
 *
 * Each delta holds "t=" and CLOCK_MONOTONIC in nanoseconds in 20 digits; sseload, on the same machine, tells by it how
 * old an event was when it arrived.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct dialect {
    const char *opening, *delta, *closing, *message;
};

#define ANTHROPIC_MESSAGE \
    "\"id\":\"msg_b\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench\""

static const struct dialect anthropic = {
    .opening = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{" ANTHROPIC_MESSAGE
               ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
               "\"usage\":{\"input_tokens\":12,\"output_tokens\":1}}}\n\n"
               "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
               "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    .delta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
             "\"delta\":{\"type\":\"text_delta\",\"text\":\"t=%020" PRIu64 " %s\"}}\n\n",
    .closing = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
               "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
               "\"stop_sequence\":null},\"usage\":{\"output_tokens\":100}}\n\n"
               "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    .message = "{" ANTHROPIC_MESSAGE ",\"content\":[{\"type\":\"text\",\"text\":\"All is well, and nothing was done.\"}],"
               "\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":12,\"output_tokens\":9}}",
};

#define OPENAI_CHUNK "data: {\"id\":\"chatcmpl-b\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\","

static const struct dialect openai = {
    .opening = OPENAI_CHUNK "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                            "\"finish_reason\":null}]}\n\n",
    .delta = OPENAI_CHUNK "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"t=%020" PRIu64 " %s\"},"
                          "\"finish_reason\":null}]}\n\n",
    .closing = OPENAI_CHUNK "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
                            "data: [DONE]\n\n",
    .message = "{\"id\":\"chatcmpl-b\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"bench\",\"choices\":[{"
               "\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"All is well, and nothing was done.\"},"
               "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":9,\"total_tokens\":21}}",
};

struct buffer {
    char *data;
    size_t used, size;
};

struct caller {
    int fd;
    struct buffer in, out;
    size_t written;                /* of out */
    const struct dialect *dialect; /* NULL: no stream is running */
    int left;                      /* deltas still to come */
    bool opened;
    uint64_t interval, due;
    size_t slot; /* in the heap, from 1; 0: not in it */
    bool gone, wants_write;
};

static int events = 100, poller;
static uint64_t interval;
static char filler[65536];
static struct caller **heap;
static size_t heap_used, heap_size;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void reserve(struct buffer *b, size_t more)
{
    if (b->used + more <= b->size)
        return;
    b->size = (b->used + more) * 2;
    if (!(b->data = realloc(b->data, b->size)))
        abort();
}

static void append(struct buffer *b, const void *data, size_t length)
{
    reserve(b, length);
    memcpy(b->data + b->used, data, length);
    b->used += length;
}

/* The heap of what is due, soonest first. */

static void seat(size_t slot, struct caller *c)
{
    heap[slot] = c;
    c->slot = slot;
}

static void sift(size_t slot, struct caller *c)
{
    for (; slot > 1 && heap[slot / 2]->due > c->due; slot /= 2)
        seat(slot, heap[slot / 2]);
    for (size_t child; (child = slot * 2) <= heap_used; slot = child) {
        if (child < heap_used && heap[child + 1]->due < heap[child]->due)
            child++;
        if (heap[child]->due >= c->due)
            break;
        seat(slot, heap[child]);
    }
    seat(slot, c);
}

static void schedule(struct caller *c, uint64_t due)
{
    c->due = due;
    if (!c->slot) {
        if (++heap_used >= heap_size && !(heap = realloc(heap, (heap_size = heap_used * 2) * sizeof *heap)))
            abort();
        c->slot = heap_used;
    }
    sift(c->slot, c);
}

static void unschedule(struct caller *c)
{
    if (!c->slot)
        return;
    struct caller *last = heap[heap_used--];
    if (last != c)
        sift(c->slot, last);
    c->slot = 0;
}

static void leave(struct caller *c)
{
    unschedule(c);
    close(c->fd);
    c->gone = true; /* freed by release(), when nobody on the stack looks at it any more */
}

static void release(struct caller *c)
{
    if (!c->gone)
        return;
    free(c->in.data);
    free(c->out.data);
    free(c);
}

/* Send what is pending; true when all of it went. */
static bool flush(struct caller *c)
{
    while (c->written < c->out.used) {
        ssize_t n = send(c->fd, c->out.data + c->written, c->out.used - c->written, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            leave(c);
            return false;
        }
        if (n < 0)
            break;
        c->written += (size_t)n;
    }
    bool pending = c->written < c->out.used;
    if (!pending)
        c->out.used = c->written = 0;
    if (pending != c->wants_write) {
        struct epoll_event e = {.events = EPOLLIN | (pending ? EPOLLOUT : 0), .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
        c->wants_write = pending;
    }
    return !pending;
}

static void chunk(struct caller *c, const char *data, size_t length)
{
    char size[20];
    append(&c->out, size, (size_t)sprintf(size, "%zx\r\n", length));
    append(&c->out, data, length);
    append(&c->out, "\r\n", 2);
}

/* Add the stream's next part to what is pending. */
static void step(struct caller *c)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                               "Request-Id: req_bench\r\nTransfer-Encoding: chunked\r\n\r\n";
    static char text[sizeof filler + 1024];
    if (!c->opened) {
        append(&c->out, head, sizeof head - 1);
        chunk(c, c->dialect->opening, strlen(c->dialect->opening));
        c->opened = true;
    } else if (c->left > 0) {
        chunk(c, text, (size_t)sprintf(text, c->dialect->delta, now(), filler));
        c->left--;
    } else {
        chunk(c, c->dialect->closing, strlen(c->dialect->closing));
        append(&c->out, "0\r\n\r\n", 5);
        c->dialect = NULL;
    }
}

/* Length of the request at the buffer's start, 0 while it is not whole. */
static size_t whole(const struct buffer *in, size_t *head)
{
    char *end = in->used ? memmem(in->data, in->used, "\r\n\r\n", 4) : NULL;
    if (!end)
        return 0;
    *head = (size_t)(end - in->data) + 4;
    *end = 0;
    char *length = strcasestr(in->data, "\r\ncontent-length:"), *coding = strcasestr(in->data, "\r\ntransfer-encoding:");
    size_t total = *head + (length ? strtoul(length + 17, NULL, 10) : 0);
    *end = '\r';
    if (coding) {
        char *last = memmem(in->data + *head - 2, in->used - *head + 2, "\r\n0\r\n\r\n", 7);
        return last ? (size_t)(last - in->data) + 7 : 0;
    }
    return in->used >= total ? total : 0;
}

static uint64_t query(const struct caller *c, size_t head, const char *name, uint64_t otherwise)
{
    const char *line = memchr(c->in.data, '\r', head), *at = memmem(c->in.data, (size_t)(line - c->in.data), name, strlen(name));
    return at ? strtoull(at + strlen(name), NULL, 10) : otherwise;
}

static void serve(struct caller *c)
{
    size_t head, total;
    while (!c->gone && !c->dialect && (total = whole(&c->in, &head))) {
        char *body = c->in.data + head;
        size_t length = total - head;
        bool stream = memmem(body, length, "\"stream\":true", 13) || memmem(body, length, "\"stream\": true", 14);
        const struct dialect *d = memmem(c->in.data, head, "/chat/completions", 17) ? &openai : &anthropic;
        c->left = (int)query(c, head, "events=", (uint64_t)events);
        c->interval = query(c, head, "interval=", interval / 1000) * 1000;
        memmove(c->in.data, c->in.data + total, c->in.used -= total);
        if (!stream) {
            char answer[200];
            int n = sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nRequest-Id: req_bench\r\n"
                                    "Content-Length: %zu\r\n\r\n", strlen(d->message));
            append(&c->out, answer, (size_t)n);
            append(&c->out, d->message, strlen(d->message));
            flush(c);
            continue;
        }
        c->dialect = d;
        c->opened = false;
        if (c->interval) {
            step(c);
            flush(c);
            if (!c->gone)
                schedule(c, now() + c->interval);
        } else {
            do
                step(c);
            while (flush(c) && c->dialect);
        }
    }
}

static void readable(struct caller *c)
{
    reserve(&c->in, 131072);
    ssize_t n = recv(c->fd, c->in.data + c->in.used, c->in.size - c->in.used, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        leave(c);
    } else if (n > 0) {
        c->in.used += (size_t)n;
        serve(c);
    }
}

static void writable(struct caller *c)
{
    if (!flush(c))
        return;
    while (!c->interval && c->dialect) {
        step(c);
        if (!flush(c))
            return;
    }
    serve(c);
}

static void tick(void)
{
    for (uint64_t t = now(); heap_used && heap[1]->due <= t;) {
        struct caller *c = heap[1];
        step(c);
        if (c->dialect)
            schedule(c, c->due + c->interval);
        else
            unschedule(c);
        if (flush(c))
            serve(c);
        release(c);
    }
}

static void welcome(int listener)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct caller *c = calloc(1, sizeof *c);
        if (!c)
            abort();
        c->fd = fd;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
    }
}

int main(int argc, char **argv)
{
    int port = 0, bytes = 40, option, on = 1;
    while ((option = getopt(argc, argv, "p:n:i:s:")) != -1) {
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 'n': events = atoi(optarg); break;
        case 'i': interval = strtoull(optarg, NULL, 10) * 1000; break;
        case 's': bytes = atoi(optarg); break;
        default: fprintf(stderr, "usage: ssegen [-p PORT] [-n EVENTS] [-i MICROSECONDS] [-s BYTES]\n"); return 2;
        }
    }
    if (bytes < 0 || bytes >= (int)sizeof filler)
        return fprintf(stderr, "ssegen: -s takes 0 to %zu\n", sizeof filler - 1), 2;
    memset(filler, '.', (size_t)bytes);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 4096)
        || getsockname(listener, (struct sockaddr *)&address, &length))
        return perror("ssegen"), 1;
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ready[512], e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        /* Not in whole milliseconds: rounded down they are a busy loop, which costs the measured a core. */
        struct timespec wait = {0};
        if (heap_used) {
            uint64_t t = now(), left = heap[1]->due <= t ? 0 : heap[1]->due - t;
            wait.tv_sec = (time_t)(left / 1000000000u);
            wait.tv_nsec = (long)(left % 1000000000u);
        }
        int n = epoll_pwait2(poller, ready, 512, heap_used ? &wait : NULL, NULL);
        for (int i = 0; i < n; i++) {
            struct caller *c = ready[i].data.ptr;
            if (!c) {
                welcome(listener);
                continue;
            }
            if (ready[i].events & EPOLLOUT)
                writable(c);
            if (!c->gone && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                readable(c);
            release(c);
        }
        tick();
    }
}
