# TRT with one stage and the sum of both losses, Eq. 2 of the paper; the official code trains one after the other.
_base_ = ['./trt_deit-b_cub.py']
stages = [dict(name='joint', model=dict(head=dict(train_part='joint')))]
