// PyTorch's own OpenMP pool, found at run time: no second pool, no second idea of how many threads there are.
#pragma once

namespace chiliad {

// Threads that PyTorch gives the calling thread; 1 for one that is at work for others, so that a kernel may be a part of
// another's work, and where PyTorch was built without GNU OpenMP.
int threads_available();

// Run work(argument) on `threads` threads at once and wait for all of them.
void run_on_threads(void (*work)(void *), void *argument, int threads);

// Call f(begin, end) over [0, count) in pieces of at most `piece`, each piece once, by whichever thread is free.
// What f computes for an index must not depend on the piece or on the thread: then neither does any result.
template <class F>
void parallel_for(long count, long piece, const F &f) {
    struct Job {
        const F &f;
        long count, piece, next;

        static void work(void *argument) {
            Job &job = *static_cast<Job *>(argument);
            for (;;) {
                const long begin = __atomic_fetch_add(&job.next, job.piece, __ATOMIC_RELAXED);
                if (begin >= job.count) return;
                const long end = begin + job.piece;
                job.f(begin, end < job.count ? end : job.count);
            }
        }
    } job{f, count, piece, 0};
    const long pieces = (count + piece - 1) / piece, available = threads_available();
    run_on_threads(Job::work, &job, static_cast<int>(pieces < available ? pieces : available));
}

}  // namespace chiliad
