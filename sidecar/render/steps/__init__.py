"""What happens to pixels between decoder and encoder: each step is a value of the plan.

The renderer applies the steps of a plan in order; the memory estimate asks the same values what they take. All of them
work on strips in the orientation of the response, so that rows come in the order in which they are sent. Every library
call in here releases the GIL while it works (NumPy's loops, Pillow's resize and LittleCMS).
"""
