# SAT, DeiT-S on CUB with 3 training images a class, Table 8 (c); the paper averages ten draws (`seed`). Epochs and
# batch are not published: the images are repeated to give about the iterations of the whole set.
_base_ = ['../sat_deit-s_cub_freeze-c.py']
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='RepeatDataset',
        times=10,
        dataset=dict(type='mmwsol.KShot', k=3, seed=0, dataset={{_base_.train_dataloader.dataset}})))
