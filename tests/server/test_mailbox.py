import asyncio
import threading

from chiliad.server.mailbox import Mailbox

THREADS, EACH = 4, 2000


def test_everything_posted_on_many_threads_arrives_once_and_in_order():
    async def collect():
        got, done = [], asyncio.Event()
        mailbox = Mailbox(asyncio.get_running_loop())

        def receive(item):
            got.append(item)
            if len(got) == THREADS * EACH:
                done.set()

        def post(thread):
            for number in range(EACH):
                mailbox.post(lambda item=(thread, number): receive(item))

        threads = [threading.Thread(target=post, args=(thread,)) for thread in range(THREADS)]
        for thread in threads:
            thread.start()
        async with asyncio.timeout(30):
            await done.wait()
        for thread in threads:
            thread.join()
        return got

    got = asyncio.run(collect())
    for thread in range(THREADS):
        assert [number for who, number in got if who == thread] == list(range(EACH))


def test_posting_to_a_loop_that_is_gone_does_nothing():
    async def make():
        return Mailbox(asyncio.get_running_loop())

    mailbox = asyncio.run(make())
    mailbox.post(lambda: None)
    mailbox.post(lambda: None)
